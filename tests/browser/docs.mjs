// `/docs` of both servers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installation } from "../node/installation.mjs";

/** The operations that a description contains, each with what the page has to show of it. */
async function operations(url) {
  const { paths } = await (await fetch(`${url}/openapi.json`)).json();
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary, responses }]) => ({
      id: `${method}${path}`,
      head: [method.toUpperCase(), path, summary],
      statuses: Object.keys(responses),
    })),
  );
}

/** The operations that the page shows, in their order. */
const SHOWN = `Array.from(document.querySelectorAll('details'), (details) => ({
  id: details.id,
  head: Array.from(details.querySelectorAll('summary > *'), (part) => part.textContent),
  statuses: Array.from(details.querySelectorAll('p > code:first-child'), (code) => code.textContent)
    .filter((text) => /^[1-5][0-9][0-9]$/.test(text)),
}))`;

const byId = (a, b) => (a.id < b.id ? -1 : 1);

/** A description with every form of body, response and parameter that servers may describe one day. */
const UNUSUAL = {
  openapi: "3.1.0",
  info: { title: "Unusual", version: "1", description: "" },
  paths: {
    "/bodies": Object.fromEntries(
      Object.entries({
        post: { type: "object", properties: { name: { type: "string" } } },
        put: { type: "object" },
        patch: {},
        delete: { type: "array", items: { type: "integer" } },
        query: {
          allOf: [{ $ref: "#/components/schemas/Alias" }, { properties: { more: { type: ["string", "null"] } } }],
        },
        trace: { oneOf: [{ type: "string", example: "it's" }, { type: "object", properties: { a: true } }] },
      }).map(([method, schema]) => {
        const content = { "application/json": { schema } };
        return [method, { requestBody: { content }, responses: {} }];
      }),
    ),
    "/nothing": { get: {}, head: { responses: { 204: { description: "" } }, tags: [] } },
    "/responses": {
      get: {
        tags: ["Operations"],
        summary: "Responses",
        parameters: [
          { name: "a", in: "query" },
          { name: "b", in: "query", schema: { anyOf: [{ type: "integer" }, { const: "all" }] } },
        ],
        responses: {
          200: { description: "", content: { "application/json": { schema: { type: "array" } } } },
          default: { description: "" },
        },
      },
    },
  },
  components: {
    schemas: {
      Alias: { $ref: "#/components/schemas/Named" },
      Named: { required: ["id"], properties: { id: { type: "integer" } } },
    },
  },
};

export function docs(context) {
  const open = async (t, server, anchor = "") => {
    const url = (await (await Installation.make(t, context.binary)).up())[server];
    return [url, await context.browser.page(t, `${url}/docs${anchor}`)];
  };

  for (const server of ["api", "game"]) {
    test(`every operation of the ${server} server is shown`, async (t) => {
      const [url, page] = await open(t, server);
      const expected = await operations(url);
      await page.until("document.querySelector('details')");
      assert.deepEqual((await page.value(SHOWN)).sort(byId), expected.sort(byId));
      page.assertNoErrors();
    });

    test(`the address of each operation of the ${server} server opens it`, async (t) => {
      const [url, page] = await open(t, server);
      const ids = (await operations(url)).map(({ id }) => id);
      const isOpen = (id) => `((details) => details?.open && details.getBoundingClientRect().top < innerHeight
        && details.getBoundingClientRect().bottom > 0)(document.getElementById(${JSON.stringify(id)}))`;
      for (const id of ids) {
        await page.open("about:blank");
        await page.open(`${url}/docs#${id}`);
        await page.until(isOpen(id));
      }
      await page.open("about:blank");
      await page.open(`${url}/docs`);
      await page.until(`document.querySelectorAll('details').length === ${ids.length}`);
      for (const id of ids) {
        await page.open(`${url}/docs#${encodeURIComponent(id)}`);
        await page.until(isOpen(id));
      }
      await page.open(`${url}/docs#%`);
      await page.open(`${url}/docs#Operations`);
      await page.until("Math.abs(document.getElementById('Operations').getBoundingClientRect().top) < innerHeight");
      page.assertNoErrors();
    });
  }

  test("an operation that is opened is named in the address", async (t) => {
    const [, page] = await open(t, "api");
    await page.until("document.getElementById('post/enqueue')");
    await page.value("document.querySelector('[id=\"post/enqueue\"] summary').click()");
    await page.until("location.hash === '#post/enqueue'");
    page.assertNoErrors();
  });

  test("operations with unusual bodies and responses are shown", async (t) => {
    const [url, page] = await open(t, "api");
    await page.stub("*/openapi.json", "application/json", () => JSON.stringify(UNUSUAL));
    await page.open(`${url}/docs#trace/bodies`);
    await page.call("Page.reload");
    await page.until("document.getElementById('trace/bodies')?.open");
    const count = Object.values(UNUSUAL.paths).reduce((sum, methods) => sum + Object.keys(methods).length, 0);
    assert.equal(await page.value("document.querySelectorAll('details').length"), count);
    const curl = (method) => page.value(`document.getElementById('${method}/bodies').querySelector('pre').textContent`);
    const bodies = { post: "{}", put: "{}", patch: '"…"', delete: "[1]", query: '{"id":1}', trace: "\"it'\\''s\"" };
    for (const [method, body] of Object.entries(bodies)) {
      assert.equal(await curl(method), `curl --json '${body}' ${url}/bodies`);
    }
    page.assertNoErrors();
  });
}
