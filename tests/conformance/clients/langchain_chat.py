"""LangChain's `ChatOpenAI`, by the chat API or the Responses API."""

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from told import QUESTION, RESULT, tell


class Digit(BaseModel):
    """One digit."""

    digit: int = Field(ge=0, le=9)


@tool
def look_up(text: str) -> str:
    """Looks a licence up."""
    return RESULT


def chat(ask: dict, **options: object) -> ChatOpenAI:
    responses = ask["api"] == "responses"
    return ChatOpenAI(
        base_url=ask["url"], api_key=ask["key"], model=ask["model"], max_retries=0, use_responses_api=responses, **options
    )


def tokens(usage: dict) -> list[int]:
    return [usage["input_tokens"], usage["output_tokens"]]


def whole(ask: dict, told: dict) -> None:
    message = chat(ask).invoke(QUESTION)
    told.update(text=message.text, tokens=tokens(message.usage_metadata))


def streamed(ask: dict, told: dict) -> None:
    told["pieces"] = []
    for chunk in chat(ask, stream_usage=True).stream(QUESTION):
        if chunk.text:
            told["pieces"].append(chunk.text)
        if chunk.usage_metadata:
            told["tokens"] = tokens(chunk.usage_metadata)


def called(ask: dict, told: dict, stream: bool) -> None:
    model = chat(ask).bind_tools([look_up])

    def say(messages: list[object]) -> object:
        if not stream:
            return model.invoke(messages)
        first, *others = model.stream(messages)
        return sum(others, first)

    asked = HumanMessage(QUESTION)
    first = say([asked])
    call = first.tool_calls[0]
    told["call"] = {"name": call["name"], "arguments": call["args"]}
    told["text"] = say([asked, first, ToolMessage(look_up.invoke(call["args"]), tool_call_id=call["id"])]).text


def schema(ask: dict, told: dict) -> None:
    told["object"] = chat(ask, temperature=0, max_tokens=60).with_structured_output(Digit).invoke(QUESTION).model_dump()


def gone(ask: dict, told: dict) -> None:
    told["pieces"] = []
    stream = chat(ask).stream(QUESTION)
    while len(told["pieces"]) < 3:
        told["pieces"].append(next(stream).text)
    stream.close()


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
