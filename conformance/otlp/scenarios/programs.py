"""One function a scenario: switches an instrumentation on, then runs a program under it."""

from __future__ import annotations

import os

from . import common


def openinference_openai() -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    provider = common.provider()
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    common.openai_conversation()
    provider.shutdown()


def openllmetry_openai() -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    provider = common.provider()
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    common.openai_conversation()
    provider.shutdown()


def opentelemetry_openai_v2() -> None:
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    provider = common.provider()
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    common.openai_conversation()
    provider.shutdown()


def openinference_anthropic() -> None:
    from openinference.instrumentation.anthropic import AnthropicInstrumentor

    provider = common.provider()
    AnthropicInstrumentor().instrument(tracer_provider=provider)
    common.anthropic_conversation()
    provider.shutdown()


def openllmetry_anthropic() -> None:
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

    provider = common.provider()
    AnthropicInstrumentor().instrument(tracer_provider=provider)
    common.anthropic_conversation()
    provider.shutdown()


def openinference_langgraph() -> None:
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from langgraph.prebuilt import create_react_agent
    from openinference.instrumentation import using_session
    from openinference.instrumentation.langchain import LangChainInstrumentor

    provider = common.provider()
    LangChainInstrumentor().instrument(tracer_provider=provider)
    model = ChatOpenAI(
        model=common.MODEL, api_key="none", base_url=os.environ["CAPTURE_MODELS"] + "/v1", max_retries=0
    )
    agent = create_react_agent(model, [tool(common.get_weather)], prompt="You are terse.", name="weather_agent")
    with using_session("conversation-7"):
        agent.invoke({"messages": [{"role": "user", "content": "Weather in Zürich?"}]})
    provider.shutdown()


def _drop_default_exporter() -> None:
    """Takes away the exporter that would send to the vendor."""
    import agents

    agents.set_trace_processors([])


def _run_openai_agent() -> None:
    from agents import Agent, Runner, function_tool, set_default_openai_client
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="none", base_url=os.environ["CAPTURE_MODELS"] + "/v1", max_retries=0)
    set_default_openai_client(client, use_for_tracing=False)
    agent = Agent(
        name="weather_agent",
        instructions="You are terse.",
        model=common.MODEL,
        tools=[function_tool(common.get_weather)],
    )
    Runner.run_sync(agent, "Weather in Zürich?")


def openinference_openai_agents() -> None:
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    _drop_default_exporter()
    provider = common.provider()
    OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)
    _run_openai_agent()
    provider.shutdown()


def openllmetry_openai_agents() -> None:
    from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    _drop_default_exporter()
    provider = common.provider()
    OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)
    _run_openai_agent()
    provider.shutdown()


def pydantic_ai() -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = common.provider()
    Agent.instrument_all()
    model = OpenAIChatModel(common.MODEL, provider=OpenAIProvider(openai_client=_async_openai()))
    agent = Agent(model, name="weather_agent", instructions="You are terse.")
    agent.tool_plain(common.get_weather)
    agent.run_sync("Weather in Zürich?")
    provider.shutdown()


def _async_openai() -> object:
    from openai import AsyncOpenAI

    return AsyncOpenAI(api_key="none", base_url=os.environ["CAPTURE_MODELS"] + "/v1", max_retries=0)


def logfire_openai() -> None:
    import logfire
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    endpoint = os.environ["CAPTURE_COLLECTOR"] + "/v1/traces"
    logfire.configure(
        send_to_logfire=False,
        console=False,
        service_name="capture",
        additional_span_processors=[BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))],
    )
    logfire.instrument_openai()
    common.openai_conversation()
    logfire.shutdown()


def langfuse() -> None:
    from langfuse import Langfuse, propagate_attributes

    client = Langfuse(
        public_key="none", secret_key="none", base_url=os.environ["CAPTURE_COLLECTOR"], flush_at=100
    )
    with client.start_as_current_observation(name="turn", as_type="agent", input={"question": "Weather?"}) as turn:
        with propagate_attributes(user_id="user-1", session_id="conversation-7"):
            with client.start_as_current_observation(
                name="answer",
                as_type="generation",
                model=common.MODEL,
                model_parameters={"temperature": 0.2},
                input=[{"role": "user", "content": "Weather in Zürich?"}],
            ) as generation:
                generation.update(
                    output={"role": "assistant", "content": "21 °C"},
                    usage_details={"input": 56, "input_cached_tokens": 64, "output": 30},
                    cost_details={"input": 0.0003, "output": 0.0003},
                )
            with client.start_as_current_observation(
                name="get_weather", as_type="tool", input={"city": "Zürich"}
            ) as tool:
                tool.update(output="21 °C", level="ERROR", status_message="slow")
        turn.update(output={"answer": "21 °C"})
    client.shutdown()


def mlflow() -> None:
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = os.environ["CAPTURE_COLLECTOR"] + "/v1/traces"
    os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
    import mlflow as client
    from mlflow.entities import SpanType

    client.openai.autolog()
    with client.start_span(name="turn", span_type=SpanType.AGENT) as turn:
        turn.set_inputs({"question": "Weather?"})
        common.openai_conversation()
        turn.set_outputs({"answer": "21 °C"})
    client.flush_trace_async_logging()
    from opentelemetry import trace

    shutdown = getattr(trace.get_tracer_provider(), "shutdown", None)
    if shutdown:
        shutdown()


def pydantic_ai_events() -> None:
    """The form in which Pydantic AI wrote messages before the conventions had a structured one."""
    from pydantic_ai import Agent
    from pydantic_ai.agent import InstrumentationSettings
    from pydantic_ai.models.openai import OpenAIModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = common.provider()
    Agent.instrument_all(InstrumentationSettings(event_mode="attributes"))
    model = OpenAIModel(common.MODEL, provider=OpenAIProvider(openai_client=_async_openai()))
    agent = Agent(model, name="weather_agent", system_prompt="You are terse.")
    agent.tool_plain(common.get_weather)
    agent.run_sync("Weather in Zürich?")
    provider.shutdown()


#: Every scenario with the packages whose versions its fixture depends on.
SCENARIOS = {
    "openinference-openai": (openinference_openai, ["openinference-instrumentation-openai", "openai"]),
    "openllmetry-openai": (openllmetry_openai, ["opentelemetry-instrumentation-openai", "openai"]),
    "opentelemetry-openai-v2": (opentelemetry_openai_v2, ["opentelemetry-instrumentation-openai-v2", "openai"]),
    "openinference-anthropic": (openinference_anthropic, ["openinference-instrumentation-anthropic", "anthropic"]),
    "openllmetry-anthropic": (openllmetry_anthropic, ["opentelemetry-instrumentation-anthropic", "anthropic"]),
    "openinference-langgraph": (
        openinference_langgraph,
        ["openinference-instrumentation-langchain", "langgraph", "langchain-openai"],
    ),
    "openinference-openai-agents": (
        openinference_openai_agents,
        ["openinference-instrumentation-openai-agents", "openai-agents"],
    ),
    "openllmetry-openai-agents": (
        openllmetry_openai_agents,
        ["opentelemetry-instrumentation-openai-agents", "openai-agents"],
    ),
    "pydantic-ai": (pydantic_ai, ["pydantic-ai-slim"]),
    "logfire-openai": (logfire_openai, ["logfire", "openai"]),
    "langfuse": (langfuse, ["langfuse"]),
    "openllmetry-openai@0.33": (openllmetry_openai, ["opentelemetry-instrumentation-openai", "openai"]),
    "pydantic-ai@0.3": (pydantic_ai_events, ["pydantic-ai-slim"]),
    "mlflow": (mlflow, ["mlflow-tracing", "openai"]),
}
