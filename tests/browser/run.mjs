// The pages of both servers in a headless Chromium: `node run.mjs PATH_OF_THE_BINARY PROGRAM_OF_THE_BROWSER`.
//
// The official Socket.IO client is that of ../socket.io-client, after `npm ci`.

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, describe } from "node:test";

import { board } from "./board.mjs";
import { Browser } from "./devtools.mjs";
import { crossOrigin } from "./cross_origin.mjs";
import { docs } from "./docs.mjs";
import { http2 } from "./http2.mjs";
import { socketioClient } from "./socketio_client.mjs";
import { upload } from "./upload.mjs";

const [, , binary, program = "chromium"] = process.argv;
assert(binary, "usage: node run.mjs PATH_OF_THE_BINARY [PROGRAM_OF_THE_BROWSER]");

const context = { binary: path.resolve(binary) };

before(async () => {
  context.browser = await Browser.start(program);
});
after(() => context.browser.stop());

describe("the pages", { concurrency: 4 }, () => {
  [docs, upload, board, http2, socketioClient, crossOrigin].forEach((tests) => tests(context));
});
