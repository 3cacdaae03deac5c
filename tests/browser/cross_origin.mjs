// A web application on another origin: it uploads an image, shows the thumbnail and posts a score.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { Installation, postScore } from "../node/installation.mjs";
import { origin } from "./origin.mjs";

const PAGE = `<!doctype html><link rel="icon" href="data:,"><img id="thumbnail" alt=""><script>
  const authorized = (token) => (token ? { Authorization: "Bearer " + token } : {});

  async function upload(api, token) {
    const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 480 });
    canvas.getContext("2d").fillRect(0, 0, 320, 480);
    const form = new FormData();
    form.append("userId", "7");
    form.append("image", await new Promise((made) => canvas.toBlob(made)), "half.png");
    const headers = authorized(token);
    const accepted = await fetch(api + "/enqueue", { method: "POST", headers, body: form });
    const { statusUrl } = await accepted.json();
    const done = await (await fetch(api + statusUrl + "/live", { headers })).json();
    document.getElementById("thumbnail").src = api + done.thumbnailUrl;
    return [accepted.status, accepted.headers.get("X-Request-Id") !== null, done.status];
  }

  async function score(game, token) {
    const headers = { "Content-Type": "application/json", ...authorized(token) };
    const body = JSON.stringify({ username: "ada", score: 7 });
    const posted = await fetch(game + "/score", { method: "POST", headers, body });
    return [posted.status, (await (await fetch(game + "/leaderboard")).json()).players.length];
  }

  const attempt = (request) => request().then(String, (error) => error.name);
</script>`;

const SERVICE_TOKEN = "s3cret-0123456789";
const SECRET = "0123456789abcdef0123456789abcdef";

/** A token of user 7, who plays as ada. */
function mint(binary) {
  const args = ["token", "mint", "--user", "7", "--username", "ada"];
  const scopes = ["upload", "status", "score"].flatMap((scope) => ["--scope", scope]);
  return execFileSync(binary, [...args, ...scopes, "--set", `auth.jwt.secret=${SECRET}`], { encoding: "utf8" }).trim();
}

export function crossOrigin(context) {
  const tokens = [
    ["without a token", {}, () => null],
    ["with the service token", { "auth.token": SERVICE_TOKEN }, () => SERVICE_TOKEN],
    ["with a user token", { "auth.token": SERVICE_TOKEN, "auth.jwt.secret": SECRET }, () => mint(context.binary)],
  ];
  for (const [how, settings, token] of tokens) {
    test(`a page of a listed origin uses both servers ${how}`, async (t) => {
      const shop = await origin(t, () => PAGE);
      const all = { "cors.origins": shop, ...settings };
      const { api, game } = await (await Installation.make(t, context.binary, all)).up();
      const page = await context.browser.page(t, shop);
      const given = JSON.stringify(token());
      assert.deepEqual(await page.value(`upload(${JSON.stringify(api)}, ${given})`), [200, true, "done"]);
      await page.until("document.getElementById('thumbnail').naturalWidth === 300");
      assert.deepEqual(await page.value(`score(${JSON.stringify(game)}, ${given})`), [200, 1]);
      page.assertNoErrors();
    });
  }

  test("a page of another origin can neither read responses nor change anything", async (t) => {
    const { api, game } = await (await Installation.make(t, context.binary)).up();
    await postScore(game, "kept", 1);
    const page = await context.browser.page(t, await origin(t, () => PAGE));
    for (const request of [
      `fetch(${JSON.stringify(`${api}/status/7`)})`,
      `upload(${JSON.stringify(api)})`,
      `score(${JSON.stringify(game)})`,
    ]) {
      assert.equal(await page.value(`attempt(() => ${request})`), "TypeError", request);
    }
    // The page cannot see that this one is refused.
    const seeded = `fetch(${JSON.stringify(`${game}/seed`)}, { method: "POST", mode: "no-cors" })`;
    assert.equal(await page.value(`attempt(() => ${seeded})`), "[object Response]");
    const { players } = await (await fetch(`${game}/leaderboard`)).json();
    assert.deepEqual(players.map(({ username, score }) => [username, score]), [["kept", 1]]);
    assert.equal((await fetch(`${api}/status/7`)).status, 404);
  });
}
