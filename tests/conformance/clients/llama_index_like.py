"""LlamaIndex's `OpenAILike`, by the chat API."""

import gc

from llama_index.core.llms import ChatMessage, MessageRole
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, Field

from told import QUESTION, RESULT, tell

ASKED = ChatMessage(role=MessageRole.USER, content=QUESTION)


class Digit(BaseModel):
    """One digit."""

    digit: int = Field(ge=0, le=9)


def look_up(text: str) -> str:
    """Looks a licence up."""
    return RESULT


TOOL = FunctionTool.from_defaults(look_up)


def like(ask: dict, **options: object) -> OpenAILike:
    return OpenAILike(
        api_base=ask["url"],
        api_key=ask["key"],
        model=ask["model"],
        is_chat_model=True,
        is_function_calling_model=True,
        should_use_structured_outputs=True,
        max_retries=0,
        **options,
    )


def tokens(usage: object) -> list[int]:
    return [usage.prompt_tokens, usage.completion_tokens]


def whole(ask: dict, told: dict) -> None:
    answer = like(ask).chat([ASKED])
    told.update(text=answer.message.content, tokens=tokens(answer.raw.usage))


def streamed(ask: dict, told: dict) -> None:
    told["pieces"] = []
    for answer in like(ask, additional_kwargs={"stream_options": {"include_usage": True}}).stream_chat([ASKED]):
        if answer.delta:
            told["pieces"].append(answer.delta)
        if answer.raw.usage:
            told["tokens"] = tokens(answer.raw.usage)


def called(ask: dict, told: dict, stream: bool) -> None:
    model = like(ask)

    def say(history: list[ChatMessage]) -> object:
        if not stream:
            return model.chat_with_tools([TOOL], chat_history=history)
        *_, last = model.stream_chat_with_tools([TOOL], chat_history=history)
        return last

    first = say([ASKED])
    call = model.get_tool_calls_from_response(first)[0]
    told["call"] = {"name": call.tool_name, "arguments": call.tool_kwargs}
    output = TOOL.call(**call.tool_kwargs).content
    result = ChatMessage(role=MessageRole.TOOL, content=output, additional_kwargs={"tool_call_id": call.tool_id})
    told["text"] = say([ASKED, first.message, result]).message.content


def schema(ask: dict, told: dict) -> None:
    model = like(ask, temperature=0, max_tokens=60)
    told["object"] = model.structured_predict(Digit, PromptTemplate(QUESTION)).model_dump()


def gone(ask: dict, told: dict) -> None:
    told["pieces"] = []
    stream = like(ask).stream_chat([ASKED])
    while len(told["pieces"]) < 3:
        told["pieces"].append(next(stream).delta)
    stream.close()
    # It leaves the connection to whoever collects the garbage.
    gc.collect()


tell(
    {
        "whole": whole,
        "streamed": streamed,
        "tool": lambda ask, told: called(ask, told, stream=False),
        "tool_streamed": lambda ask, told: called(ask, told, stream=True),
        "schema": schema,
        "gone": gone,
    }
)
