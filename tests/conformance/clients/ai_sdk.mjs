// The Vercel AI SDK: its provider for endpoints that are compatible with OpenAI's, and its OpenAI provider's Responses API.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { QUESTION, RESULT, tell } from "./told.mjs";

const Digit = z.object({ digit: z.number().int().min(0).max(9) });

function options(ask) {
  const where = { name: "pointsman", baseURL: ask.url, apiKey: ask.key };
  const model =
    ask.api === "responses"
      ? createOpenAI(where).responses(ask.model)
      : createOpenAICompatible({ ...where, includeUsage: true, supportsStructuredOutputs: true })(ask.model);
  return { model, prompt: QUESTION, maxRetries: 0 };
}

/** The package's own loop: it calls the tool, and asks again with its result. */
function looking_up(ask, told) {
  const execute = async (call) => {
    told.call = { name: "look_up", arguments: call };
    return RESULT;
  };
  const tools = { look_up: tool({ description: "Looks a licence up.", inputSchema: z.object({ text: z.string() }), execute }) };
  return { ...options(ask), tools, stopWhen: stepCountIs(3) };
}

/** A stream's pieces of text; what the package reports as an error part is raised. */
async function* texts(stream) {
  for await (const part of stream.fullStream) {
    if (part.type === "text-delta") yield part.text;
    if (part.type === "error") throw part.error instanceof Error ? part.error : new Error(JSON.stringify(part.error));
  }
}

const quiet = { onError() {} };
const tokens = (usage) => [usage.inputTokens, usage.outputTokens];

await tell({
  async whole(ask, told) {
    const { text, usage } = await generateText(options(ask));
    Object.assign(told, { text, tokens: tokens(usage) });
  },

  async streamed(ask, told) {
    told.pieces = [];
    const stream = streamText({ ...options(ask), ...quiet });
    for await (const text of texts(stream)) told.pieces.push(text);
    told.tokens = tokens(await stream.usage);
  },

  async tool(ask, told) {
    told.text = (await generateText(looking_up(ask, told))).text;
  },

  async tool_streamed(ask, told) {
    const stream = streamText({ ...looking_up(ask, told), ...quiet });
    for await (const _ of texts(stream));
    told.text = await stream.text;
  },

  async schema(ask, told) {
    const form = { output: Output.object({ schema: Digit }), temperature: 0, maxOutputTokens: 60 };
    told.object = (await generateText({ ...options(ask), ...form })).output;
  },

  async gone(ask, told) {
    told.pieces = [];
    const leaving = new AbortController();
    const stream = streamText({ ...options(ask), ...quiet, abortSignal: leaving.signal });
    for await (const text of texts(stream)) if (told.pieces.push(text) > 2) leaving.abort();
  },
});
