"""The table, the page and the file that figures become; and the command line of every script."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from .measuring import REFERENCE, ROUNDS, Figure, Run, machine

TO: Final = "\N{EN DASH}"
Measure = Callable[[Run], Sequence[Figure]]


def number(value: float) -> str:
    """A number in three digits that matter, as a table shows it."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def cells(figure: Figure) -> tuple[str, str, str, str, str]:
    """Name, measured, bar, met, note."""
    measured = f"{number(figure.median)} {figure.unit}"
    if len(figure.values) > 1:
        measured += f" ({number(min(figure.values))}{TO}{number(max(figure.values))})"
    bar = ""
    if figure.bar is not None and figure.scaled_bar is not None:
        bar = f"{figure.sense} {number(figure.bar)}"
        if figure.scale != 1.0:
            bar += f", here {number(figure.scaled_bar)}"
    met = {None: TO, True: "yes", False: "NO"}[figure.met]
    if figure.met is not figure.met_as_stated:
        met += ", as stated yes" if figure.met_as_stated else ", as stated NO"
    return figure.name, measured, bar or "stated", met, figure.note


def print_figures(figures: Sequence[Figure]) -> None:
    """The table, as a terminal shows it."""
    rows = [("figure", f"measured: median (min{TO}max)", "bar", "met", ""), *map(cells, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        shown = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        print(f"  {shown}  {row[4]}".rstrip())
    print(flush=True)


def print_markdown(run: Run, sections: Sequence[tuple[str, Sequence[Figure]]]) -> None:
    """The tables, as docs/benchmarks.md holds them."""
    print(f"Machine: {machine()}. {calibrated(run)}")
    for question, figures in sections:
        print(f"\n### {question}\n")
        print(f"| figure | median (min{TO}max) | bar | met | note |\n|---|---|---|---|---|")
        for figure in figures:
            print("| " + " | ".join(cells(figure)) + " |")


def calibrated(run: Run) -> str:
    """What the calibration said, and what follows."""
    seconds = " · ".join(f"{one:.3f}" for one in run.calibrations)
    return (
        f"1,000,000 awaited dict reads: {seconds} s (before each script; reference {REFERENCE} s, by which "
        f"absolute bars scale; {run.reads_alone:.3f} s without choosing the keys). "
        f"Load average at the end: {os.getloadavg()[0]:.2f}."
    )


def as_json(run: Run, sections: Sequence[tuple[str, Sequence[Figure]]]) -> dict[str, Any]:
    """Everything, for a program that compares runs."""
    figures = [
        {
            "question": question,
            "name": figure.name,
            "unit": figure.unit,
            "values": list(figure.values),
            "median": figure.median,
            "bar": figure.bar,
            "sense": figure.sense,
            "scaled_bar": figure.scaled_bar,
            "met": figure.met,
            "note": figure.note,
        }
        for question, some in sections
        for figure in some
    ]
    return {"machine": machine(), "calibrations": run.calibrations, "quick": run.quick, "figures": figures}


def main(scripts: Sequence[tuple[str, str, Measure]], arguments: Sequence[str] | None = None) -> int:
    """Run scripts (name, question, function); 1 if a bar is not met."""
    asked = _parser([name for name, _, _ in scripts]).parse_args(arguments)
    run = Run(quick=asked.quick, profile=asked.profile, rounds=asked.rounds)
    sections: list[tuple[str, Sequence[Figure]]] = []
    failed: list[str] = []
    for name, question, measure in scripts:
        if asked.only and name not in asked.only:
            continue
        seconds = run.calibrate()
        if not asked.markdown:
            print(f"{name}: {question}\n  {machine()}; 1,000,000 awaited dict reads: {seconds:.3f} s", flush=True)
        figures = _measured(name, measure, run, failed)
        sections.append((question, figures))
        if not asked.markdown:
            print_figures(figures)
    if asked.markdown:
        print_markdown(run, sections)
    if asked.json:
        Path(asked.json).write_text(json.dumps(as_json(run, sections), indent=1), "utf-8")
    missed = [figure.name for _, figures in sections for figure in figures if figure.met is False]
    if missed and not asked.markdown:
        print("not met: " + "; ".join(missed))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if missed or failed else 0


def _measured(name: str, measure: Measure, run: Run, failed: list[str]) -> Sequence[Figure]:
    """What a script measures; one that fails costs the others nothing."""
    try:
        return measure(run)
    except Exception:  # noqa: BLE001 - whatever it is, it is shown and counted
        traceback.print_exc()
        failed.append(name)
        return ()


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure insession against its bars.")
    parser.add_argument("only", nargs="*", choices=[[], *names], help="these scripts only")
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions: a look, not a measurement")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of each measurement")
    parser.add_argument("--profile", action="store_true", help="also print where the time goes")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/benchmarks.md instead")
    return parser
