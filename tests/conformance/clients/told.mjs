// How a test asks a Node client in a process of its own, and how that tells what it saw: the same as `told.py`, which says
// how.

import { createInterface } from "node:readline";

export const QUESTION = "Which licence has Llama 3.3 70B Instruct?";
export const RESULT = "Llama 3.3 licence";

/** Does what is asked: each of `verbs` takes the ask, and fills in what it saw as it sees it. */
export async function tell(verbs) {
  for await (const line of createInterface({ input: process.stdin })) {
    const ask = JSON.parse(line);
    const told = {};
    try {
      await verbs[ask.do](ask, told);
    } catch (error) {
      const status = error.status ?? error.statusCode ?? null;
      told.error = { class: error.constructor.name, status, message: String(error.message) };
    }
    console.log(JSON.stringify(told));
  }
}
