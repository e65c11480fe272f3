"""Spans: from a real process to a real receiver of the protocol, and on to the predictor."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from higr.bundle import Bundle
from serving.traces import ENDPOINTS, outgoing
from tests.serving.process import Server

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> dict[str, Span]:
        """By name."""
        return {
            span.name: span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.slow
def test_a_request_and_its_steps_are_spans_of_the_callers_trace(
    tmp_path: Path, bundle: Bundle, collector: Collector
) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    server = Server(
        tmp_path, "higr", ["--bundle", str(bundle.path), "--deadline-ms", "4000"], environment=environment
    )
    try:
        server.wait()
        answer = server.post(
            {"instances": [{"user_id": "somebody-private"}]},
            headers={"traceparent": f"00-{CALLER}-{PARENT}-01"},
        )
        assert answer.status_code == 200
    finally:
        assert server.stop() == 0
    spans = collector.spans()
    assert set(spans) == {"slate", "features", "predictor"}
    assert {span.trace_id.hex() for span in spans.values()} == {CALLER}
    assert spans["slate"].parent_span_id.hex() == PARENT
    for step in ("features", "predictor"):
        assert spans[step].parent_span_id == spans["slate"].span_id
    (event,) = spans["slate"].events
    attributes = {pair.key: pair.value.string_value for pair in event.attributes}
    assert attributes == {"source": "higr", "reason": "", "model_version": bundle.version}
    assert not any(b"somebody-private" in body for body in collector.bodies)
    assert b"higr-all" in b"".join(collector.bodies)


def test_a_predictor_elsewhere_is_told_whose_child_it_is() -> None:
    assert outgoing() == {}
    context = trace.SpanContext(int(CALLER, 16), int(PARENT, 16), False, trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert outgoing() == {"traceparent": f"00-{CALLER}-{PARENT}-01"}


def test_a_collector_that_is_away_holds_up_no_end() -> None:
    """Retries of the SDK must not outlast what an orchestrator waits for a process to end."""
    code = (
        "from serving import traces\n"
        "close = traces.configure('all')\n"
        "with traces.request_span('slate', None): pass\n"
        "close()\n"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ENDPOINTS},
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False)
    assert done.returncode == 0
