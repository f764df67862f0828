"""llama.cpp's own HTTP server, as the package `xllamacpp` carries it: `llama_cpp_server.py FILE.gguf NAME KEY PORT`.

Prints its address once it listens (port 0 takes a free one), and ends when its standard input does, so that it never
outlives who started it. Two slots share a window of 512 tokens, and an answer that outgrows its half shifts it: without
a limit, and with `ignore_eos`, it goes on until somebody cancels it.
"""

import sys

import xllamacpp


def main(model: str, name: str, key: str, port: str) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {name}
    params.api_keys = [key]
    params.port = int(port)
    params.n_parallel = 2
    params.n_ctx = 512
    params.ctx_shift = True
    params.endpoint_metrics = True
    params.endpoint_slots = True
    # More threads than the small model needs would wait for each other where others compute too.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
