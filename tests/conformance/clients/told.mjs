// How a test asks a Node client in a process of its own, and how that tells what it saw: the same as `told.py`, which says
// how.

export const QUESTION = "Which licence has Llama 3.3 70B Instruct?";
export const RESULT = "Llama 3.3 licence";

/** Does what is asked: each of `verbs` takes the ask, and fills in what it saw as it sees it. */
export async function tell(verbs) {
  const ask = JSON.parse(process.argv[2]);
  const told = {};
  try {
    await verbs[ask.do](ask, told);
  } catch (error) {
    told.error = { class: error.constructor.name, status: error.status ?? error.statusCode ?? null, message: String(error.message) };
  }
  console.log(JSON.stringify(told));
  if (ask.do === "gone") await process.stdin.toArray();
}
