"""Spans of a request and of its steps, as OpenTelemetry.

They go where the standard environment says: OTEL_EXPORTER_OTLP_ENDPOINT and all the rest that the SDK reads
(sampler, headers, resource). Where it says nothing no span is made. A span holds no user data.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from opentelemetry import propagate, trace

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_tracer: trace.Tracer = trace.NoOpTracer()


def configure(role: str) -> Callable[[], None]:
    """Send spans, if the environment says where; returns what sends the last of them.

    A collector that is down or slow costs spans and no request: they wait in a bounded queue of the SDK.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return lambda: None
    # Imported here: without traces nobody waits for it.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": f"higr-{role}"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    # Not the process's global provider: FastAPI would add four spans of its own, to every probe as well.
    global _tracer
    _tracer = provider.get_tracer("higr.serving")
    return provider.shutdown


def span(name: str) -> AbstractContextManager[trace.Span]:
    """A step of what the current span is about."""
    return _tracer.start_as_current_span(name)


def request_span(name: str, headers: Mapping[str, str] | None) -> AbstractContextManager[trace.Span]:
    """The span of a whole request; a child of the caller's, where `headers` have `traceparent`."""
    return _tracer.start_as_current_span(name, propagate.extract(headers or {}), trace.SpanKind.SERVER)


def outgoing() -> dict[str, str]:
    """Headers that make another process's spans children of the current one."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
