// A small platform on npm's own socket.io: `node platform.js <path of the package> <options as JSON>`.
// It prints its port, then a line of JSON for whatever happens, and ends when its input does.
"use strict";

const http = require("node:http");

const [, , path, words] = process.argv;
const { count, interval, dropEvery, server: options } = JSON.parse(words);
const library = require(path);
const listener = http.createServer();
// Version 2 exports the function itself, later ones a class.
const io = library.Server ? new library.Server(listener, options) : library(listener, options);
const room = io.of("/pku");
const answers = new Map();
const offered = [];
let joined = null;
let active = null;

const tell = (what, value) => process.stdout.write(`${JSON.stringify({ what, value })}\n`);
const content = (id) => JSON.stringify({ meta: { id: `essay-${id}` }, text: `Текст № ${id} <br> "q" \u2028` });
const offer = (id) => joined && joined.emit("session-file-avaiable", { sessionId: active, fileId: id, content: content(id) });

// In turn: a broken line, a DISCONNECT packet, an orderly close.
const drops = [
  (socket) => (socket.conn.transport.socket || socket.conn.transport).terminate(),
  (socket) => socket.disconnect(false),
  (socket) => socket.disconnect(true),
];
let dropped = 0;

function next() {
  if (offered.length >= count) return;
  const id = `файл-${offered.length + 1}`;
  offered.push(id);
  offer(id);
  if (joined && dropEvery && offered.length % dropEvery === 0) {
    const socket = joined;
    joined = null;
    drops[dropped++ % drops.length](socket);
  }
  setTimeout(next, interval);
}

function finish() {
  if (active && joined && answers.size === count && offered.length === count) {
    joined.emit("session-close", { sessionId: active, type: "finish" });
    active = null;
    tell("answers", [...answers]);
    tell("contents", offered.map((id) => [id, content(id)]));
  }
}

room.on("connection", (socket) => {
  tell("connection", socket.conn.protocol);
  if (socket.handshake.query.token !== "participant") {
    socket.emit("connection-auth-error", { message: "unknown token" });
    socket.disconnect();
    return;
  }
  if (active) {
    joined = socket;
    socket.emit("session-reconnect-success", { sessionId: active });
    offered.filter((id) => !answers.has(id)).forEach(offer);
    finish();
  }
  socket.on("session-reconnect", () => {
    if (active) socket.emit("session-reconnect-success", { sessionId: active });
    else socket.emit("session-reconnect-error", { message: "no session is active" });
  });
  socket.on("session-start", (asked) => {
    active = "4711";
    joined = socket;
    tell("start", asked);
    socket.emit("session-start-success", { sessionId: active });
    setTimeout(next, interval);
  });
  socket.on("session-file-send", (result) => {
    const told = { sessionId: result.sessionId, fileId: result.fileId };
    if (result.sessionId !== active || !offered.includes(result.fileId)) {
      tell("violation", told);
      socket.emit("session-file-send-error", { ...told, message: "unknown" });
      return;
    }
    if (answers.has(result.fileId) && answers.get(result.fileId) !== result.content) tell("violation", told);
    answers.set(result.fileId, result.content);
    socket.emit("session-file-send-success", told);
    setTimeout(finish, 10);
  });
  socket.on("session-cliend-abort", (asked) => {
    tell("abort", asked);
    active = null;
    socket.emit("session-cliend-abort-success", { message: "aborted" });
  });
  socket.on("disconnect", () => {
    if (joined === socket) joined = null;
  });
});

listener.listen(0, "127.0.0.1", () => tell("port", listener.address().port));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
