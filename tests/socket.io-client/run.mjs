// The official Socket.IO client against m3a3: `npm ci`, then `node run.mjs PATH_OF_THE_BINARY`.
//
// Each test has an installation of its own: `m3a3 up` with its embedded broker. Everything is awaited with a deadline.
// One wait is there by nature: a heartbeat shows only after its interval.

import assert from "node:assert/strict";
import path from "node:path";
import { describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { io } from "socket.io-client";

import { Installation, postScore as post, within } from "../node/installation.mjs";

const BINARY = process.argv[2] && path.resolve(process.argv[2]);
assert(BINARY, "usage: node run.mjs PATH_OF_THE_BINARY");

// Longer than a ping interval (25 s), and than most proxies and clients would wait for a server that is gone.
const IDLE_MS = 35_000;
const TOKEN = "the-service-token-of-the-shop";

/** Makes clients as a page would have them: they reconnect by themselves, and end with the test. */
function clients(t) {
  const sockets = [];
  t.after(() => sockets.forEach((socket) => socket.close()));
  return (url, options = {}) => {
    const socket = io(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
    sockets.push(socket);
    return socket;
  };
}

/** The arguments of the next such event, or of the next of several, that is right. */
function next(socket, events, isRight = () => true) {
  const came = new Promise((resolve) => {
    const listener = (...args) => {
      if (isRight(...args)) {
        [events].flat().forEach((event) => socket.off(event, listener));
        resolve(args);
      }
    };
    [events].flat().forEach((event) => socket.on(event, listener));
  });
  return within(`${events} at ${socket.id ?? "a new socket"}`, came);
}

/** Waits until a socket has been told this board, by whichever event. */
function told(socket, board) {
  const text = JSON.stringify(board);
  return next(socket, ["current_leaderboard", "update_leaderboard"], (got) => JSON.stringify(got) === text);
}

describe("the official client", { concurrency: true }, () => {
  for (const [name, transports, last] of [
    ["by websocket only", ["websocket"], "websocket"],
    ["by polling only", ["polling"], "polling"],
    ["by polling and an upgrade", undefined, "websocket"],
  ]) {
    test(`is greeted and gets updates ${name}`, async (t) => {
      const installation = await Installation.make(t, BINARY);
      const client = clients(t);
      const { game } = await installation.up();
      await post(game, "ada", 1);
      const socket = client(game, transports ? { transports } : {});
      const [board, ...others] = await next(socket, "current_leaderboard");
      assert.deepEqual([board, others], [[{ username: "ada", score: 1 }], []]);
      const { engine } = socket.io;
      if (engine.transport.name !== last) {
        await new Promise((resolve) => engine.once("upgrade", resolve));
      }
      assert.equal(engine.transport.name, last);
      for (const score of [2, 3.5, 4]) {
        const update = next(socket, "update_leaderboard", (board) => board[0].score === score);
        await post(game, "bo", score);
        const [board, ...others] = await update;
        assert.deepEqual([board, others], [[{ username: "bo", score }, { username: "ada", score: 1 }], []]);
      }
      assert.equal(engine.transport.name, last);
      await installation.processes[0].stop();
    });
  }

  test("comes back after a restart and is greeted again", async (t) => {
    const installation = await Installation.make(t, BINARY);
    const client = clients(t);
    const first = await installation.up();
    await post(first.game, "ada", 1);
    const sockets = [["websocket"], ["polling"], ["polling", "websocket"]].map((transports) =>
      client(first.game, { transports }),
    );
    await Promise.all(sockets.map((socket) => next(socket, "current_leaderboard")));
    const disconnected = sockets.map((socket) => next(socket, "disconnect"));
    const again = sockets.map((socket) => next(socket, "current_leaderboard"));
    await first.stop();
    await Promise.all(disconnected);
    const second = await installation.up("0", new URL(first.game).port);
    assert.equal(second.game, first.game);
    await Promise.all(again);
    // What Redis lost with the broker is filled in again from the database, and everyone is told.
    const board = [{ username: "bo", score: 2 }, { username: "ada", score: 1 }];
    const updates = sockets.map((socket) => told(socket, board));
    await post(second.game, "bo", 2);
    await Promise.all(updates);
    await second.stop();
  });

  test("is one of 200 that all get every final state", async (t) => {
    const installation = await Installation.make(t, BINARY);
    const client = clients(t);
    const { game } = await installation.up();
    const kinds = [{ transports: ["websocket"] }, { transports: ["websocket"] }, {}, { transports: ["polling"] }];
    const sockets = Array.from({ length: 200 }, (_, number) => client(game, kinds[number % kinds.length]));
    await Promise.all(sockets.map((socket) => next(socket, "current_leaderboard")));
    for (let round = 1; round <= 5; round += 1) {
      const last = round * 100;
      const everyone = sockets.map((socket) => told(socket, [{ username: "ada", score: last }]));
      for (let score = last - 20; score <= last; score += 1) {
        await post(game, "ada", score);
      }
      await Promise.all(everyone);
    }
    await installation.processes[0].stop();
  });

  test("stays connected while nothing happens", async (t) => {
    const installation = await Installation.make(t, BINARY);
    const client = clients(t);
    const { game } = await installation.up();
    const sockets = [["websocket"], ["polling"]].map((transports) => client(game, { transports }));
    await Promise.all(sockets.map((socket) => next(socket, "current_leaderboard")));
    const ids = sockets.map((socket) => socket.id);
    const reasons = [];
    sockets.forEach((socket) => socket.on("disconnect", (reason) => reasons.push(reason)));
    const pings = [0, 0];
    sockets.forEach((socket, at) => socket.io.on("ping", () => (pings[at] += 1)));
    await wait(IDLE_MS);
    assert.deepEqual(reasons, []);
    assert.deepEqual(sockets.map((socket) => socket.id), ids);
    assert(pings.every((count) => count >= 1), `pings: ${pings}`);
    const updates = sockets.map((socket) => told(socket, [{ username: "ada", score: 1 }]));
    await post(game, "ada", 1);
    await Promise.all(updates);
  });

  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    test(`needs a token for a board that is not public, by ${transports.join(" and ")}`, async (t) => {
      const settings = { "auth.token": TOKEN, "auth.public_board": "false" };
      const installation = await Installation.make(t, BINARY, settings);
      const client = clients(t);
      const { game } = await installation.up();
      for (const options of [{}, { auth: { token: "wrong" } }, { auth: { token: 7 } }]) {
        const socket = client(game, { transports, ...options });
        const events = [];
        socket.onAny((event) => events.push(event));
        const [error] = await next(socket, "connect_error");
        assert(error.message.includes("token"), error.message);
        assert.deepEqual([socket.connected, events], [false, []]);
        // With a token, the same socket connects.
        const greeted = next(socket, "current_leaderboard");
        socket.auth = { token: TOKEN };
        socket.connect();
        assert.deepEqual(await greeted, [[]]);
      }
      const extraHeaders = { Authorization: `Bearer ${TOKEN}` };
      await next(client(game, { transports, extraHeaders }), "current_leaderboard");
    });
  }

  test("hears of a score that another game server took", async (t) => {
    const installation = await Installation.make(t, BINARY);
    const client = clients(t);
    const servers = [await installation.up(), await installation.gameServer()];
    const sockets = servers.map(({ game }) => client(game));
    await Promise.all(sockets.map((socket) => next(socket, "current_leaderboard")));
    for (const [score, { game }] of servers.entries()) {
      const board = [{ username: "ada", score }];
      const updates = sockets.map((socket) => told(socket, board));
      await post(game, "ada", score);
      await Promise.all(updates);
    }
    await servers[1].stop();
    await servers[0].stop();
  });
});
