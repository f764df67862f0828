// The `openai` package for Node, by the Responses API.

import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { QUESTION, RESULT, tell } from "./told.mjs";

const input = [{ role: "user", content: QUESTION }];
const parameters = { type: "object", properties: { text: { type: "string" } }, required: ["text"] };
const tools = [{ type: "function", name: "look_up", parameters, strict: false }];
const Digit = z.object({ digit: z.number().int().min(0).max(9) });

const responses = (ask) => new OpenAI({ baseURL: ask.url, apiKey: ask.key, maxRetries: 0 }).responses;
const tokens = (usage) => [usage.input_tokens, usage.output_tokens];

async function tool(ask, told, create) {
  const first = await create({ model: ask.model, input, tools });
  const call = first.output.find((item) => item.type === "function_call");
  told.call = { name: call.name, arguments: JSON.parse(call.arguments) };
  const result = { type: "function_call_output", call_id: call.call_id, output: RESULT };
  told.text = (await create({ model: ask.model, input: [...input, ...first.output, result], tools })).output_text;
}

await tell({
  async whole(ask, told) {
    const response = await responses(ask).create({ model: ask.model, input });
    told.text = response.output_text;
    told.tokens = tokens(response.usage);
  },

  async streamed(ask, told) {
    told.pieces = [];
    const stream = responses(ask).stream({ model: ask.model, input });
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") told.pieces.push(event.delta);
      // The package raises nothing for it: the last event says how a response ended.
      if (event.type === "response.failed") throw new Error(`${event.type}: ${event.response.error.message}`);
    }
    told.tokens = tokens((await stream.finalResponse()).usage);
  },

  tool: (ask, told) => tool(ask, told, (body) => responses(ask).create(body)),

  tool_streamed: (ask, told) => tool(ask, told, (body) => responses(ask).stream(body).finalResponse()),

  async schema(ask, told) {
    const form = { text: { format: zodTextFormat(Digit, "digit") }, temperature: 0, max_output_tokens: 60 };
    told.object = (await responses(ask).parse({ model: ask.model, input, ...form })).output_parsed;
  },

  async gone(ask, told) {
    told.pieces = [];
    for await (const event of await responses(ask).create({ model: ask.model, input, stream: true })) {
      if (event.type === "response.output_text.delta" && told.pieces.push(event.delta) > 2) break;
    }
  },
});
