"""How a test asks a Python client in a process of its own, and how that tells what it saw.

The one argument is JSON: what to `do`, the `api` to do it by, the gateway's `url`, the `key` and the `model` to ask with. The
answer is a line of JSON with what the client gave and, where it raised something, the `error`. A client that was to leave
a stream stays alive until its standard input ends: what closes the connection is its own way of leaving, not its end.
"""

import json
import sys
from collections.abc import Callable

QUESTION = "Which licence has Llama 3.3 70B Instruct?"
RESULT = "Llama 3.3 licence"


def tell(verbs: dict[str, Callable[[dict, dict], None]]) -> None:
    """Does what is asked: each of `verbs` takes the ask, and fills in what it saw as it sees it."""
    ask, told = json.loads(sys.argv[1]), {}
    try:
        verbs[ask["do"]](ask, told)
    except Exception as error:
        status = getattr(error, "status_code", None)
        told["error"] = {"class": type(error).__name__, "status": status, "message": str(error)}
    print(json.dumps(told), flush=True)
    if ask["do"] == "gone":
        sys.stdin.read()
