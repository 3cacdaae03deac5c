// A headless Chromium that is driven by the DevTools protocol over a pipe, so that it needs no port and no package.
// https://chromedevtools.github.io/devtools-protocol/

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { eventually, within } from "../node/installation.mjs";

const FLAGS = [
  "--headless",
  "--remote-debugging-pipe",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-extensions",
  "--disable-gpu",
  "--disable-sync",
  "--no-default-browser-check",
  "--no-first-run",
  // Nothing but the loopback interface is reachable.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  // The sandbox does not support root.
  ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
];

export class Browser {
  /** Starts the program with a profile of its own. */
  static async start(program) {
    const browser = new Browser();
    browser.profile = await mkdtemp(path.join(tmpdir(), "m3a3-chromium-"));
    browser.child = spawn(program, [...FLAGS, `--user-data-dir=${browser.profile}`, "about:blank"], {
      stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
      // Crash reports, fonts and settings are stored below these folders.
      env: { ...process.env, HOME: browser.profile, XDG_CONFIG_HOME: browser.profile, XDG_CACHE_HOME: browser.profile },
    });
    browser.stderr = "";
    browser.child.stderr.on("data", (text) => (browser.stderr = (browser.stderr + text).slice(-10_000)));
    browser.ended = new Promise((resolve) => {
      browser.child.on("exit", resolve);
      browser.child.on("error", resolve);
    });
    browser.calls = new Map();
    browser.listeners = new Map();
    browser.lastId = 0;
    const [, , , input, output] = browser.child.stdio;
    browser.input = input;
    input.on("error", () => {});
    let received = "";
    output.setEncoding("utf8").on("data", (text) => {
      const messages = (received + text).split("\0");
      received = messages.pop();
      messages.forEach((message) => browser.receive(JSON.parse(message)));
    });
    browser.ended.then((reason) => {
      const error = new Error(`the browser ended (${reason}): ${browser.stderr}`);
      browser.calls.forEach(({ reject }) => reject(error));
    });
    await browser.call("Browser.getVersion");
    return browser;
  }

  /** Calls a method of the protocol. */
  call(method, params = {}, sessionId = undefined) {
    const id = ++this.lastId;
    const result = new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }));
    this.input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return within(method, result).finally(() => this.calls.delete(id));
  }

  receive({ id, result, error, method, params, sessionId }) {
    if (id === undefined) return this.listeners.get(sessionId)?.(method, params);
    const call = this.calls.get(id);
    if (error) call?.reject(new Error(`${error.message} ${error.data ?? ""}`));
    else call?.resolve(result);
  }

  /** Opens a page in a context of its own, without cookies or caches of other pages. It is closed with the test. */
  async page(t, url) {
    const { browserContextId } = await this.call("Target.createBrowserContext");
    t.after(() => this.call("Target.disposeBrowserContext", { browserContextId }));
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId);
    for (const domain of ["Page", "Runtime", "Log", "Network", "DOM"]) await page.call(`${domain}.enable`);
    if (url) await page.open(url);
    return page;
  }

  /** Ends the browser, if need be by a signal to its process alone. */
  async stop() {
    this.call("Browser.close").catch(() => {});
    await within("the browser ends", this.ended, 5_000).catch(() => this.child.kill("SIGKILL"));
    await this.ended;
    await rm(this.profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

/** A tab. */
export class Page {
  constructor(browser, sessionId) {
    this.browser = browser;
    this.sessionId = sessionId;
    /** Uncaught exceptions, errors of the console, and errors of the browser such as failed requests. */
    this.errors = [];
    /** Requests as in `POST http://…`, in their order. */
    this.requests = [];
    /** The number of chunks that responses have consisted of. */
    this.chunks = 0;
    this.handlers = {
      "Runtime.exceptionThrown": ({ exceptionDetails }) =>
        this.errors.push(exceptionDetails.exception?.description ?? exceptionDetails.text),
      "Runtime.consoleAPICalled": ({ type, args }) => {
        const isError = type === "error" || type === "assert";
        if (isError) this.errors.push(args.map((arg) => arg.description ?? arg.value).join(" "));
      },
      "Log.entryAdded": ({ entry }) => {
        if (entry.level === "error") this.errors.push(`${entry.text} ${entry.url ?? ""}`);
      },
      "Network.dataReceived": () => (this.chunks += 1),
      "Network.requestWillBeSent": ({ request }) => this.requests.push(`${request.method} ${request.url}`),
    };
    browser.listeners.set(sessionId, (method, params) => this.handlers[method]?.(params));
  }

  call(method, params) {
    return this.browser.call(method, params, this.sessionId);
  }

  /** Navigates, also within the document, and waits until the page has loaded. */
  async open(url) {
    const { errorText } = await this.call("Page.navigate", { url });
    assert.equal(errorText, undefined, url);
    await this.until("document.readyState === 'complete'");
  }

  /** The value of an expression; a promise is awaited. */
  async value(expression) {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", options);
    assert.equal(exceptionDetails, undefined, exceptionDetails?.exception?.description);
    return result.value;
  }

  /** Waits until an expression is true. */
  until(expression, deadline = undefined) {
    const shown = async () => [await this.value("document.body.innerText"), ...this.errors].join("\n");
    return eventually(expression, () => this.value(`Boolean(${expression})`), shown, deadline);
  }

  /** Selects files by their paths in the first such field. */
  async choose(selector, files) {
    const { root } = await this.call("DOM.getDocument");
    const { nodeId } = await this.call("DOM.querySelector", { nodeId: root.nodeId, selector });
    await this.call("DOM.setFileInputFiles", { nodeId, files });
  }

  /** Drags data to the first such element and drops it: `{ files: […] }` or `{ items: [{ mimeType, data }] }`. */
  async drop(selector, { files = [], items = [] }) {
    const box = await this.value(`(({ x, y, width, height }) => ({ x: x + width / 2, y: y + height / 2 }))(
      document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect())`);
    const data = { files, items, dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"]) {
      await this.call("Input.dispatchDragEvent", { type, ...box, data });
    }
  }

  /** Answers requests that match the pattern, also redirected ones, instead of sending them. */
  async stub(urlPattern, contentType, content) {
    const headers = { "Content-Type": contentType, "Access-Control-Allow-Origin": "*" };
    const responseHeaders = Object.entries(headers).map(([name, value]) => ({ name, value }));
    this.handlers["Fetch.requestPaused"] = ({ requestId, request }) => {
      const body = Buffer.from(content(request.url)).toString("base64");
      // Fails if the page was closed meanwhile.
      this.call("Fetch.fulfillRequest", { requestId, responseCode: 200, responseHeaders, body }).catch(() => {});
    };
    await this.call("Fetch.enable", { patterns: [{ urlPattern }] });
  }

  assertNoErrors() {
    assert.deepEqual(this.errors, []);
  }
}
