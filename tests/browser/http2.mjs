// The pages over TLS, where browsers choose HTTP/2 for requests and HTTP/1.1 for websockets.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Installation } from "../node/installation.mjs";
import { image } from "./upload.mjs";

const fixture = (name) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
const SETTINGS = { "serve.tls.cert": fixture("receiver.pem"), "serve.tls.key": fixture("receiver.key") };
const PROTOCOLS = `Array.from(new Set(['navigation', 'resource'].flatMap((kind) =>
  performance.getEntriesByType(kind).map((entry) => entry.nextHopProtocol)).filter((name) => name))).join()`;

export function http2(context) {
  const setUp = async (t) => {
    const installation = await Installation.make(t, context.binary, SETTINGS);
    const server = await installation.up();
    const page = await context.browser.page(t);
    // The authority of the certificate is one of the tests.
    await page.call("Security.setIgnoreCertificateErrors", { ignore: true });
    return { installation, server, page };
  };

  test("an image is uploaded over HTTP/2 and its thumbnail shown", async (t) => {
    const { installation, server, page } = await setUp(t);
    await page.open(`${server.api}/`);
    const file = path.join(installation.folder, "one.bmp");
    await writeFile(file, image());
    await page.choose("#files", [file]);
    await page.until("document.querySelector('#list .done img')?.naturalWidth === 300");
    assert.equal(await page.value(PROTOCOLS), "h2");
    page.assertNoErrors();
  });

  test("the board follows a score over HTTP/2, and a websocket opens beside it", async (t) => {
    const { server, page } = await setUp(t);
    await page.open(`${server.game}/`);
    await page.until("document.getElementById('state').textContent === 'Live'");
    await page.value(`fetch('score', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{"username": "ada", "score": 1}',
    }).then((response) => response.status)`);
    await page.until("document.querySelector('#board .name')?.textContent === 'ada'");
    assert.equal(await page.value(PROTOCOLS), "h2");
    await page.value(`{
      const socket = new WebSocket('socket.io/?EIO=4&transport=websocket');
      socket.onmessage = ({ data }) => { window.packet ??= data; };
    }`);
    await page.until("window.packet?.startsWith('0{')");
    page.assertNoErrors();
  });
}
