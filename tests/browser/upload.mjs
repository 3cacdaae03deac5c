// The upload page.

import assert from "node:assert/strict";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";

import { Installation } from "../node/installation.mjs";

/** A BMP of one colour, which is never the same twice. */
let colour = 0;
export function image() {
  const [headers, side] = [54, 16];
  const bytes = Buffer.alloc(headers + 3 * side * side);
  bytes.write("BM");
  bytes.writeUInt32LE(bytes.length, 2);
  [headers, 40, side, side].forEach((value, at) => bytes.writeUInt32LE(value, 10 + 4 * at));
  bytes.writeUInt16LE(1, 26);
  bytes.writeUInt16LE(24, 28);
  colour += 1;
  for (let at = headers; at < bytes.length; at += 3) bytes.writeUIntLE(colour, at, 3);
  return bytes;
}

/** The lines of the list, oldest first, each as name and message. */
const LINES = `Array.from(document.querySelectorAll('#list li'), (line) => [
  line.querySelector('.title').textContent, line.querySelector('.says').textContent]).reverse()`;
const UNREADABLE = "This file cannot be read. It may have been moved, changed or deleted.";

export function upload(context) {
  /** An installation, its page, and a function that writes files to upload. */
  const setUp = async (t, settings = {}) => {
    const installation = await Installation.make(t, context.binary, settings);
    const server = await installation.up();
    const page = await context.browser.page(t, server.api);
    const write = async (name, content = image()) => {
      const file = path.join(installation.folder, "pictures", name);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, content);
      return file;
    };
    return { installation, server, page, write };
  };
  const ended = (page, count) =>
    page.until(`document.querySelectorAll('#list .done, #list .failed').length === ${count}`);
  const sum = (page) => page.value("document.getElementById('sum').textContent");
  const posts = (page) => page.requests.filter((request) => request.startsWith("POST")).length;

  test("chosen images are uploaded and their thumbnails shown", async (t) => {
    const { page, write } = await setUp(t);
    await page.choose("#files", [await write("one.bmp"), await write("two.bmp")]);
    await ended(page, 2);
    assert.deepEqual((await page.value(LINES)).sort(), [["one.bmp", "Done"], ["two.bmp", "Done"]]);
    await page.until("Array.from(document.querySelectorAll('#list img')).every((image) => image.naturalWidth === 300)");
    assert.equal(await sum(page), "2 of 2 done");
    page.assertNoErrors();
  });

  test("a dropped folder is opened", async (t) => {
    const { page, write } = await setUp(t);
    const first = await write("holiday/first.bmp");
    for (const name of ["day 1/second.BMP", "day 1/deep/er/third.bmp"]) await write(`holiday/${name}`);
    for (const name of ["notes.txt", "day 1/.DS_Store"]) await write(`holiday/${name}`, "text");
    await page.drop("#drop", { files: [path.dirname(first), await write("single.bmp")] });
    await ended(page, 4);
    assert.deepEqual((await page.value(LINES)).sort(), [
      ["first.bmp", "Done"], ["second.BMP", "Done"], ["single.bmp", "Done"], ["third.bmp", "Done"],
    ]);
    assert.equal(await sum(page), "4 of 4 done, 2 other files in folders skipped");
    assert.equal(posts(page), 4);
    page.assertNoErrors();
  });

  test("a folder without images or with too many is refused", async (t) => {
    const { page, write } = await setUp(t);
    const texts = path.dirname(await write("texts/a.txt", "text"));
    const many = path.dirname(await write("many/0.bmp", ""));
    await Promise.all(Array.from({ length: 1000 }, (_, number) => write(`many/${number + 1}.bmp`, "")));
    await page.drop("#drop", { files: [texts, many] });
    await ended(page, 2);
    assert.deepEqual((await page.value(LINES)).sort(), [
      ["many", "This folder has more than 1000 pictures. Drop fewer at a time."],
      ["texts", "This folder has no pictures."],
    ]);
    assert.equal(posts(page), 0);
    page.assertNoErrors();
  });

  test("files that vanish before they are sent are reported once", async (t) => {
    const { page, write } = await setUp(t, { "auth.token": "s3cret" });
    const files = [await write("kept.bmp"), await write("deleted.bmp"), await write("moved.bmp")];
    await page.choose("#files", files);
    // No file is accepted before the token is known.
    await page.until("!document.getElementById('ask').hidden");
    await rm(files[1]);
    await rename(files[2], `${files[2]}.old`);
    await page.value("document.getElementById('token').value = 's3cret'");
    await page.value("document.querySelector('#ask button').click()");
    await ended(page, 3);
    const lines = [["deleted.bmp", UNREADABLE], ["kept.bmp", "Done"], ["moved.bmp", UNREADABLE]];
    assert.deepEqual((await page.value(LINES)).sort(), lines);
    assert.equal(await sum(page), "1 of 3 done, 2 failed");
  });

  test("a folder that is no folder to the browser and an empty file are reported once", async (t) => {
    const { page, write } = await setUp(t);
    const folder = path.dirname(await write("folder/a.bmp"));
    await page.choose("#files", [folder, await write("empty.bmp", "")]);
    await ended(page, 2);
    const lines = Object.fromEntries(await page.value(LINES));
    assert.equal(lines["empty.bmp"], "This file is empty.");
    assert.ok([UNREADABLE, "This file is empty."].includes(lines.folder), lines.folder);
  });

  test("uploads continue when the server is back", async (t) => {
    const { installation, server, page, write } = await setUp(t);
    await server.stop();
    await page.choose("#files", [await write("late.bmp")]);
    await page.until(`${LINES}[0][1] === 'The server does not respond; retrying…'`);
    await installation.up(new URL(server.api).port);
    await ended(page, 1);
    assert.deepEqual(await page.value(LINES), [["late.bmp", "Done"]]);
  });

  test("uploads above a limit are sent again after the time that the server asks for", async (t) => {
    const { page, write } = await setUp(t, {
      "serve.trusted_proxies": "127.0.0.1",
      "limits.uploads_per_minute": "10",
      "limits.uploads_burst": "1",
    });
    await page.call("Network.setExtraHTTPHeaders", { headers: { "X-Forwarded-For": "192.0.2.1" } });
    await page.value(`new MutationObserver((changes) => changes.forEach(({ target }) => {
      if (target.className === 'says') (globalThis.said ??= []).push(target.textContent);
    })).observe(document.getElementById('list'), { childList: true, subtree: true })`);
    await page.choose("#files", [await write("one.bmp"), await write("two.bmp")]);
    await ended(page, 2);
    assert.deepEqual((await page.value(LINES)).sort(), [["one.bmp", "Done"], ["two.bmp", "Done"]]);
    const said = await page.value("said");
    assert.ok(said.some((text) => /^Too many requests; trying again in \d s…$/.test(text)), said.join("\n"));
  });

  test("an image above the limit is refused before it is sent", async (t) => {
    const { page, write } = await setUp(t, { "serve.max_upload_bytes": "1500000" });
    assert.match(await page.value("document.getElementById('drop').innerText"), /JPEG, PNG, .*, up to 1.5 MB/);
    const padded = (length) => Buffer.concat([image(), Buffer.alloc(length)]).subarray(0, length);
    const [large, largest] = [padded(1_500_001), padded(1_500_000)];
    await page.choose("#files", [await write("large.bmp", large)]);
    await ended(page, 1);
    const message = "This file is larger than 1.5 MB, the limit of the server.";
    assert.deepEqual(await page.value(LINES), [["large.bmp", message]]);
    assert.equal(posts(page), 0);
    await page.choose("#files", [await write("largest.bmp", largest)]);
    await ended(page, 2);
    assert.deepEqual((await page.value(LINES))[1], ["largest.bmp", "Done"]);
    page.assertNoErrors();
  });

  test("dropped text and links do nothing, except in a text field", async (t) => {
    const { server, page } = await setUp(t);
    const text = [{ mimeType: "text/plain", data: "7" }];
    const link = ["text/uri-list", "text/plain"].map((mimeType) => ({ mimeType, data: `${server.game}/` }));
    for (const [selector, items] of [["#drop", text], ["#drop", link], ["h1", text], ["h1", link]]) {
      await page.drop(selector, { items });
      assert.equal(await page.value("document.querySelector('.over')"), null);
    }
    await page.drop("#user", { items: text });
    await page.until("document.getElementById('user').value.includes('7')");
    assert.deepEqual(await page.value(LINES), []);
    assert.equal(await page.value("location.href"), `${server.api}/`);
    assert.equal(posts(page), 0);
    page.assertNoErrors();
  });

  test("files of scripts are taken from a drop and from the clipboard", async (t) => {
    const { page } = await setUp(t);
    const bytes = JSON.stringify([...image()]);
    await page.value(`{
      const transfer = (name) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(${bytes})], name, { type: 'image/bmp' }));
        transfer.items.add('text', 'text/plain');
        return transfer;
      };
      const options = { bubbles: true, cancelable: true };
      document.body.dispatchEvent(new DragEvent('drop', { ...options, dataTransfer: transfer('dropped.bmp') }));
      document.body.dispatchEvent(new ClipboardEvent('paste', { ...options, clipboardData: transfer('pasted.bmp') }));
    }`);
    await ended(page, 2);
    assert.deepEqual((await page.value(LINES)).sort(), [["dropped.bmp", "Done"], ["pasted.bmp", "Done"]]);
    page.assertNoErrors();
  });
}
