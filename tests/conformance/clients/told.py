"""How a test asks a Python client in a process of its own, and how that tells what it saw.

Each line of its standard input asks, in JSON: what to `do`, the `api` to do it by, the gateway's `url`, the `key` and the
`model` to ask with. Each is answered by a line of JSON with what the client gave and, where it raised something, the
`error`. It ends when its input does.
"""

import json
import sys
from collections.abc import Callable

QUESTION = "Which licence has Llama 3.3 70B Instruct?"
RESULT = "Llama 3.3 licence"


def tell(verbs: dict[str, Callable[[dict, dict], None]]) -> None:
    """Does what is asked: each of `verbs` takes the ask, and fills in what it saw as it sees it."""
    for line in sys.stdin:
        ask, told = json.loads(line), {}
        try:
            verbs[ask["do"]](ask, told)
        except Exception as error:
            status = getattr(error, "status_code", None)
            told["error"] = {"class": type(error).__name__, "status": status, "message": str(error)}
        print(json.dumps(told), flush=True)
