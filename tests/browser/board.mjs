// The leaderboard page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { eventually, Installation, postScore } from "../node/installation.mjs";

/** The text beside the title, and the rows of the board. */
const SHOWN = `[document.getElementById('state'), ...document.querySelectorAll('#board tr')].map((part) =>
  part.id ? part.textContent : ['.rank', '.name', '.score'].map((cell) => part.querySelector(cell).textContent).join(' ')
).join('; ')`;
// The page reconnects after 20 s of silence.
const SILENCE_DEADLINE_MS = 60_000;
const TOKEN = "the-service-token-of-the-shop";

export function board(context) {
  const setUp = async (t, settings = {}) => {
    const installation = await Installation.make(t, context.binary, settings);
    const server = await installation.up();
    await postScore(server.game, "ada", 1);
    const page = await context.browser.page(t, server.game);
    await page.until(`${SHOWN} === 'Live; 1 ada 1'`);
    return { installation, server, page };
  };

  test("the board follows the scores", async (t) => {
    const { server, page } = await setUp(t);
    await postScore(server.game, "bo", 2.5);
    await page.until(`${SHOWN} === 'Live; 1 bo 2.5; 2 ada 1'`);
    await postScore(server.game, "ada", 30);
    await page.until(`${SHOWN} === 'Live; 1 ada 30; 2 bo 2.5'`);
    page.assertNoErrors();
  });

  test("the board says when the server is frozen, and is live when it continues", async (t) => {
    const { server, page } = await setUp(t);
    server.child.kill("SIGSTOP");
    await page.until(`${SHOWN} === 'The server does not respond, reconnecting…; 1 ada 1'`, SILENCE_DEADLINE_MS);
    server.child.kill("SIGCONT");
    await postScore(server.game, "ada", 2);
    await page.until(`${SHOWN} === 'Live; 1 ada 2'`, SILENCE_DEADLINE_MS);
    page.assertNoErrors();
  });

  test("an idle board stays live on one connection", async (t) => {
    const { server, page } = await setUp(t);
    // Two heartbeats take longer than the page waits for one.
    const chunks = page.chunks + 2;
    await eventually("two heartbeats", () => page.chunks >= chunks, () => page.chunks, SILENCE_DEADLINE_MS);
    assert.equal(await page.value(SHOWN), "Live; 1 ada 1");
    assert.equal(page.requests.filter((request) => request.endsWith("/leaderboard-feed")).length, 1);
    await postScore(server.game, "ada", 2);
    await page.until(`${SHOWN} === 'Live; 1 ada 2'`);
    page.assertNoErrors();
  });

  test("the board says when there are too many feeds, and opens another one later", async (t) => {
    const { server } = await setUp(t, { "serve.trusted_proxies": "127.0.0.1", "limits.feeds": "1" });
    const headers = { "X-Forwarded-For": "192.0.2.1" };
    const other = new AbortController();
    const feed = await fetch(`${server.game}/leaderboard-feed`, { headers, signal: other.signal });
    assert.equal(feed.status, 200);
    const page = await context.browser.page(t);
    await page.call("Network.setExtraHTTPHeaders", { headers });
    await page.open(`${server.game}/`);
    await page.until("document.getElementById('state').textContent === 'Too many connections, trying again in 5 s…'");
    other.abort();
    await page.until(`${SHOWN} === 'Live; 1 ada 1'`);
  });

  test("a board that is not public asks for a token and remembers it", async (t) => {
    const settings = { "auth.token": TOKEN, "auth.public_board": "false" };
    const installation = await Installation.make(t, context.binary, settings);
    const server = await installation.up();
    const page = await context.browser.page(t, server.game);
    const asked = "document.getElementById('ask').hidden ? '' : document.getElementById('why').textContent";
    const answer = (token) => page.value(`document.getElementById('token').value = ${JSON.stringify(token)};
      document.querySelector('#ask button').click()`);
    await page.until(`(${asked}) === 'This leaderboard requires a token'`);
    for (const wrong of ["wrong", "ünicode"]) {
      await answer(wrong);
      await page.until(`(${asked}) === 'The server refused this token, or it has expired'`);
    }
    const live = `${SHOWN} === 'Live; 1 ada 1' && document.getElementById('ask').hidden`;
    await postScore(server.game, "ada", 1, TOKEN);
    await answer(TOKEN);
    await page.until(live);
    await page.open(server.game);
    await page.until(live);

    await server.stop();
    installation.env.M3A3_AUTH__TOKEN = "another-token-of-the-shop";
    await installation.up("0", new URL(server.game).port);
    await page.until(`(${asked}) === 'The server refused this token, or it has expired'`);
    assert.equal(await page.value(SHOWN), "No access", "the players are hidden");
  });

  test("the board reconnects after a restart of the server", async (t) => {
    const { installation, server, page } = await setUp(t);
    await server.stop();
    await page.until(`${SHOWN} === 'Connection lost, reconnecting…; 1 ada 1'`);
    const { game } = await installation.up("0", new URL(server.game).port);
    await page.until(`${SHOWN} === 'Live; 1 ada 1'`);
    await postScore(game, "ada", 2);
    await page.until(`${SHOWN} === 'Live; 1 ada 2'`);
  });
}
