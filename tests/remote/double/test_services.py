"""The double does what section 1 of the protocol says, in both dialects."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from insession.errors import ConfigurationError
from insession.testing import SankhyaDouble

from .plain import ALL, Plain, attribute, load, message, names, save

FIND, SAVE = "CRUDServiceProvider.loadRecords", "CRUDServiceProvider.saveRecord"


@pytest.fixture
def double() -> Iterator[SankhyaDouble]:
    with SankhyaDouble(seed=997, answers={"Minha.coisa": "<resultado>7</resultado>"}) as double:
        yield double


@pytest.fixture
def client(double: SankhyaDouble) -> Iterator[Plain]:
    with Plain(double.url) as client:
        client.login()
        yield client


def test_login_find_and_logout(double: SankhyaDouble, client: Plain) -> None:
    answer = client.login()
    assert base64.b64decode((answer.findtext("responseBody/idusu") or "").strip()) == b"0"
    found = client.ask(FIND, load("CODPARC &lt; 4"))
    assert found.get("status") == "1"
    assert names(found) == ["Parceiro 1", "Parceiro 2", "Ação & Cia"]
    assert [one.findtext("f2") for one in found.iter("entity") if len(one)] == ["01310100", "", "00010000"]
    client.ask("MobileLoginSP.logout")
    counters = double.counters
    assert (counters.logins_attempted, counters.logins_ok, counters.logouts, counters.live_sessions) == (2, 2, 1, 1)
    assert counters.violations == ()
    assert client.post(FIND, load("1 = 1")).status_code == 500


def test_the_first_page_has_150_rows_and_the_later_ones_300(client: Plain) -> None:
    first = client.post(FIND, load("CODPARC &gt; 0"))
    pager, counts = attribute(first, "pagerID"), [first.text.count("<entity>")]
    for page in range(2, int(attribute(first, "totalPages")) + 1):
        asked = load("CODPARC &gt; 0", page=f'pageNumber="{page}" pagerID="{pager}"')
        counts.append(client.post(FIND, asked).text.count("<entity>"))
    assert counts == [150, 300, 300, 250]
    lost = client.ask(FIND, load("CODPARC &gt; 0", page=f'pageNumber="2" pagerID="{pager}"'))
    assert "não pode encontrar o arquivo" in message(lost)


def test_expressions_take_parameters_and_are_judged(client: Plain) -> None:
    bound = load(
        "CODPARC = ? AND NOMEPARC LIKE ?",
        parameters='<parameter type="I">3</parameter><parameter type="S">A%</parameter>',
    )
    assert names(client.ask(FIND, bound)) == ["Ação & Cia"]
    for wrong, said in (("CODPARC = = 1", "Expressão inválida"), ("NADA = 1", "Nome de coluna 'NADA' inválido")):
        refused = client.ask(FIND, load(wrong))
        assert refused.get("status") == "0"
        assert said in message(refused)
    joined = load("CODPARC = 1", fields=f'{ALL}<entity path="Cidade"><fieldset list="NOMECID"/></entity>')
    assert client.ask(FIND, joined).findtext("responseBody/entities/entity/f3") == "São Paulo"


def test_save_update_and_remove(double: SankhyaDouble, client: Plain) -> None:
    made = client.ask(SAVE, save("Novo"))
    key = made.findtext("responseBody/entities/entity/CODPARC")
    assert key == "1001"
    client.ask(SAVE, save("Outro", f"<key><CODPARC>{key}</CODPARC></key>"))
    assert names(client.ask(FIND, load(f"CODPARC = {key}"))) == ["Outro"]
    batch = save("A").replace("</dataRow>", "</dataRow><dataRow><localFields><NADA>1</NADA></localFields></dataRow>")
    assert "Campo não existe: Parceiro->NADA" in message(client.ask(SAVE, batch))
    assert double.count() == 1001
    gone = f'<entity rootEntity="Parceiro"><id><CODPARC>{key}</CODPARC></id></entity>'
    assert client.ask("CRUDServiceProvider.removeRecord", gone).get("status") == "1"
    client.ask(SAVE, save("Novo"))
    counters = double.counters
    assert (double.count(), counters.saves_received, counters.saves_executed) == (1001, 4, 3)
    assert counters.duplicate_saves == 1


def test_the_older_services(client: Plain) -> None:
    body = '<entity name="Parceiro"><campo nome="NOMEPARC">Velho</campo></entity>'
    assert client.ask("crud.save", body).findtext("responseBody/entidades/entidade/CODPARC") == "1001"
    field = '<fields><field name="NOMEPARC"/></fields>'
    for criteria in (
        '<criterio nome="CODPARC" valor="3"/>',
        '<literalCriteria><expression>CODPARC = ?</expression><parameter type="I">3</parameter></literalCriteria>',
        "<criterioLiteral><expressao>CODPARC = 3</expressao></criterioLiteral>",
    ):
        found = client.ask("crud.find", f'<entity name="Parceiro" rowsLimit="5">{field}{criteria}</entity>')
        assert [one.text for one in found.iter("NOMEPARC")] == ["Ação & Cia"]
    assert (
        client.ask("crud.remove", '<entity name="Parceiro"><id><CODPARC>3</CODPARC></id></entity>').get("status") == "1"
    )
    rows = client.ask("DbExplorerSP.executeQuery", "<sql>SELECT count(*) AS N FROM Parceiro</sql>")
    assert rows.findtext("responseBody/rows/row/f0") == "1000"
    assert client.ask("DbExplorerSP.executeQuery", "<sql>DELETE FROM Parceiro</sql>").get("status") == "0"


def test_what_the_double_does_not_know(client: Plain) -> None:
    assert client.ask("Minha.coisa").findtext("responseBody/resultado") == "7"
    assert client.ask("CACSP.confirmarNota", module="mgecom").get("status") == "1"
    assert "Nenhum provedor" in message(client.ask("Nada.nada"))


def test_json(client: Plain) -> None:
    login = client.json("MobileLoginSP.login", {"NOMUSU": {"$": "SUP"}, "INTERNO": {"$": "secret"}})
    assert login["status"] == "1"
    client.session = login["responseBody"]["jsessionid"]["$"]
    data = {
        "rootEntity": "Parceiro",
        "offsetPage": "0",
        "criteria": {"expression": {"$": "CODPARC <= ?"}, "parameter": [{"$": "60", "type": "I"}]},
        "entity": {"fieldset": {"list": "CODPARC,CEP"}},
    }
    found = client.json(FIND, {"dataSet": data})["responseBody"]["entities"]
    assert (found["hasMoreResult"], len(found["entity"])) == ("true", 50)
    assert found["entity"][1] == {"f0": {"$": "2"}, "f1": {}}
    data |= {"criteria": {"expression": {"$": "CODPARC = 1"}}, "entity": {"fieldset": {"list": "CEP"}}}
    one = client.json(FIND, {"dataSet": data})["responseBody"]["entities"]
    assert one["entity"] == {"f0": {"$": "01310100"}}
    assert one["metadata"]["fields"]["field"] == {"name": "CEP"}
    row = {"localFields": {"NOMEPARC": {"$": "Novo"}}}
    saved = client.json(
        SAVE, {"dataSet": {"rootEntity": "Parceiro", "dataRow": row, "entity": {"fieldset": {"list": "*"}}}}
    )
    assert saved["responseBody"]["entities"]["entity"]["CODPARC"] == {"$": "1001"}
    record = {"pk": {"CODPARC": 1001}, "values": {"0": "Outro"}}
    partial = {"entityName": "Parceiro", "standAlone": False, "fields": ["NOMEPARC"], "records": [record]}
    assert client.json("DatasetSP.save", partial)["responseBody"]["result"] == {"NOMEPARC": {"$": "Outro"}}
    refused = client.json("Nada.nada", {})
    assert (refused["status"], "Nenhum provedor" in refused["statusMessage"]) == ("0", True)


def test_files_and_images(client: Plain) -> None:
    opened = client.ask("RepositorioArquivoSP.abreArquivo", '<config path="Sistema/manual.txt"/>')
    found = opened.find("responseBody/chave")
    assert found is not None
    cookie = {"Cookie": f"JSESSIONID={client.session}"}

    def get(path: str) -> tuple[int, bytes, str]:
        answer = client.http.get(client.url + path, headers=cookie)
        return answer.status_code, answer.content, answer.headers.get("Content-Disposition", "")

    status, content, name = get(f"/mge/visualizadorArquivos.mge?chaveArquivo={found.get('valor')}")
    assert (status, content.decode(), 'filename="manual.txt"' in name) == (200, "Instruções", True)
    assert "não existe no servidor".encode("iso-8859-1") in get("/mge/visualizadorArquivos.mge?chaveArquivo=x")[1]
    assert get("/mge/Parceiro@IMAGEM@CODPARC=1.dbimage")[1].startswith(b"GIF")
    assert get("/mge/Parceiro@IMAGEM@CODPARC=5000.dbimage")[0] == 404


def test_sessions_are_listed_and_killed(double: SankhyaDouble, client: Plain) -> None:
    listed = client.ask("SessionManagerSP.getCoreSessions").findall("responseBody/SESSIONS/SESSION")
    assert [(one.get("ID"), one.get("USERAGENT")) for one in listed] == [(client.session, "Plain/1")]
    client.ask("SessionManagerSP.killSession", f'<SESSION ID="{client.session}"/>')
    assert (double.counters.kills, double.sessions()) == (1, [])
    double.change(admin=False)
    client.login()
    assert "autorizado" in message(client.ask("SessionManagerSP.getCoreSessions"))


def test_the_gateway(double: SankhyaDouble, client: Plain) -> None:
    form = {"client_id": "client", "client_secret": "client-secret", "grant_type": "client_credentials"}
    headers = {"X-Token": "x-token"}
    granted = client.http.post(f"{client.url}/authenticate", data=form, headers=headers).json()

    def call(bearer: str) -> tuple[int, dict[str, object]]:
        said = {"serviceName": "DbExplorerSP.executeQuery", "requestBody": {"sql": "SELECT 1"}}
        answer = client.http.post(
            f"{client.url}/gateway/v1/mge/service.sbr?serviceName=DbExplorerSP.executeQuery&outputType=json",
            json=said,
            headers={"Authorization": f"Bearer {bearer}"},
        )
        return answer.status_code, answer.json()

    assert call(granted["access_token"])[1]["status"] == "1"
    double.expire_bearers()
    dead = {"codigo": "GTW3403", "descricao": "Bearer Token inválido ou Expirado."}
    assert call(granted["access_token"])[1]["error"] == dead
    double.change(dead_bearer_status=401)
    assert call(granted["access_token"])[0] == 401
    again = {"refresh_token": granted["refresh_token"]}
    renewed = client.http.post(f"{client.url}/token/refresh", data=again, headers=headers).json()
    assert call(renewed["access_token"])[1]["status"] == "1"
    assert client.http.post(f"{client.url}/token/refresh", data=again, headers=headers).status_code == 401
    double.expire()
    expired = call(renewed["access_token"])[1]
    assert (expired["status"], expired["statusMessage"]) == ("3", "Não autorizado.")
    wrong = client.http.post(f"{client.url}/authenticate", data=form | {"client_secret": "x"}, headers=headers)
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    old = {"token": "x-token", "appkey": "app-key", "username": "SUP", "password": "secret"}
    assert call(client.http.post(f"{client.url}/login", headers=old).json()["bearerToken"])[1]["status"] == "1"
    counters = double.counters
    assert (counters.authentications, counters.refreshes, counters.refresh_reuse) == (3, 2, 1)


def test_rows_of_ones_own_and_what_is_wrong() -> None:
    with (
        SankhyaDouble(rows={"Produto": [{"CODPROD": 5, "DESCRPROD": "Caneta"}]}) as double,
        Plain(double.url) as client,
    ):
        client.login()
        body = '<dataSet rootEntity="Produto"><entity path=""><fieldset list="*"/></entity></dataSet>'
        assert names(client.ask(FIND, body)) == ["Caneta"]
    with pytest.raises(ConfigurationError, match="did you mean 'session_max_requests'"):
        SankhyaDouble(session_max_request=3)
    with pytest.raises(ConfigurationError, match="seed"):
        SankhyaDouble(seed="many")
    with pytest.raises(ConfigurationError, match="unknown fault 'rest'"):
        SankhyaDouble().inject("rest")
