// The `openai` package for Node, by the chat API.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { QUESTION, RESULT, tell } from "./told.mjs";

const messages = [{ role: "user", content: QUESTION }];
const parameters = { type: "object", properties: { text: { type: "string" } }, required: ["text"] };
const tools = [{ type: "function", function: { name: "look_up", parameters } }];
const Digit = z.object({ digit: z.number().int().min(0).max(9) });

const completions = (ask) => new OpenAI({ baseURL: ask.url, apiKey: ask.key, maxRetries: 0 }).chat.completions;
const tokens = (usage) => [usage.prompt_tokens, usage.completion_tokens];

async function tool(ask, told, create) {
  const said = (await create({ model: ask.model, messages, tools })).choices[0].message;
  const call = said.tool_calls[0];
  told.call = { name: call.function.name, arguments: JSON.parse(call.function.arguments) };
  const result = { role: "tool", tool_call_id: call.id, content: RESULT };
  told.text = (await create({ model: ask.model, messages: [...messages, said, result], tools })).choices[0].message.content;
}

await tell({
  async whole(ask, told) {
    const answer = await completions(ask).create({ model: ask.model, messages });
    told.text = answer.choices[0].message.content;
    told.tokens = tokens(answer.usage);
  },

  async streamed(ask, told) {
    const options = { stream: true, stream_options: { include_usage: true } };
    told.pieces = [];
    for await (const chunk of await completions(ask).create({ model: ask.model, messages, ...options })) {
      if (chunk.choices[0]?.delta.content) told.pieces.push(chunk.choices[0].delta.content);
      if (chunk.usage) told.tokens = tokens(chunk.usage);
    }
  },

  tool: (ask, told) => tool(ask, told, (body) => completions(ask).create(body)),

  tool_streamed: (ask, told) => tool(ask, told, (body) => completions(ask).stream(body).finalChatCompletion()),

  async schema(ask, told) {
    const form = { response_format: zodResponseFormat(Digit, "digit"), temperature: 0, max_tokens: 60 };
    const answer = await completions(ask).parse({ model: ask.model, messages, ...form });
    told.object = answer.choices[0].message.parsed;
  },

  async gone(ask, told) {
    told.pieces = [];
    for await (const chunk of await completions(ask).create({ model: ask.model, messages, stream: true })) {
      if (told.pieces.push(chunk.choices[0].delta.content) > 2) break;
    }
  },
});
