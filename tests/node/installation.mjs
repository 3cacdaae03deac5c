// Installations of m3a3 for tests under Node: processes of the built binary in a temporary folder, on free ports.
//
// Everything is awaited with a deadline.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import { setTimeout as wait } from "node:timers/promises";

/** The longest time from an action to its expected effect. */
export const DEADLINE_MS = 30_000;
const POLL_INTERVAL_MS = 50;

export async function within(what, promise, deadline = DEADLINE_MS) {
  const abort = new AbortController();
  const late = wait(deadline, undefined, { signal: abort.signal }).then(() => {
    throw new Error(`not in time: ${what}`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    abort.abort();
    late.catch(() => {});
  }
}

/** Waits until a condition is true. If it is not in time, `shown()` says what is there instead. */
export async function eventually(what, condition, shown = () => "", deadline = DEADLINE_MS) {
  const end = Date.now() + deadline;
  while (!(await condition())) {
    if (Date.now() > end) assert.fail(`not in time: ${what}; there is:\n${await shown()}`);
    await wait(POLL_INTERVAL_MS);
  }
}

/** A process of the binary, and the lines that it prints at its start. */
class Process {
  constructor(binary, folder, args, env) {
    this.child = spawn(binary, args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
    this.stderr = "";
    this.child.stderr.on("data", (text) => (this.stderr += text));
    this.ended = new Promise((resolve) => this.child.on("exit", (code, signal) => resolve({ code, signal })));
    this.lines = readline.createInterface({ input: this.child.stdout });
  }

  /** The URL in the first line that matches. */
  url(pattern) {
    const found = new Promise((resolve, reject) => {
      this.lines.on("line", (line) => {
        const url = pattern.exec(line)?.[1];
        if (url) resolve(url);
      });
      this.ended.then(() => reject(new Error(`it ended at once: ${this.stderr}`)));
    });
    return within("the server listens", found);
  }

  /** Sends SIGTERM and expects success. */
  async stop() {
    this.child.kill("SIGTERM");
    assert.deepEqual(await within("the process ends", this.ended), { code: 0, signal: null }, this.stderr);
  }
}

/** A folder with processes in it. They end with the test. */
export class Installation {
  /** `settings` are keys of the configuration, such as `{ "auth.token": "s3cret" }`. */
  static async make(t, binary, settings = {}) {
    const installation = new Installation();
    installation.binary = binary;
    installation.folder = await mkdtemp(path.join(tmpdir(), "m3a3-"));
    const variable = (key) => `M3A3_${key.toUpperCase().replaceAll(".", "__")}`;
    installation.env = Object.fromEntries(Object.entries(settings).map(([key, value]) => [variable(key), value]));
    installation.processes = [];
    t.after(async () => {
      installation.processes.forEach((process) => process.child.kill("SIGKILL"));
      await Promise.all(installation.processes.map((process) => process.ended));
      await rm(installation.folder, { recursive: true, force: true });
    });
    return installation;
  }

  /** Starts everything in one process. */
  async up(port = "0", gamePort = "0") {
    const process = this.start(["up", "--port", port, "--game-port", gamePort]);
    const urls = [process.url(/^ +API +(http\S+)$/), process.url(/^ +game +(http\S+)$/)];
    [process.api, process.game] = await Promise.all(urls);
    return process;
  }

  /** Starts a further game server on the same database and broker. */
  async gameServer() {
    const process = this.start(["game-server", "--port", "0"]);
    process.game = await process.url(/^listening on (http\S+)$/);
    return process;
  }

  start(args) {
    const process = new Process(this.binary, this.folder, args, this.env);
    this.processes.push(process);
    return process;
  }
}

export async function postScore(url, username, score, token) {
  const answer = await fetch(`${url}/score`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ username, score }),
  });
  assert.equal(answer.status, 200, await answer.text());
}
