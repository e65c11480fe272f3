"""Names, labels and units of every Prometheus metric, in one place.

Serving and monitoring register exactly these; alert rules and dashboards are tested against them.
This module knows no client library: `kind` is the name of the class to make.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One metric family.

    Attributes:
        name: as scraped, without a counter's `_total`.
        kind: counter, gauge or histogram.
        help: what a person on call reads.
        labels: label names, in order.
        buckets: upper bounds of a histogram, in the unit of its name.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.3, 0.5, 1.0, 2.5)
"""0.3 is serving's deadline where nothing else is said: what is late is counted, not estimated."""


SLATES = Metric(
    "higr_slates",
    "counter",
    "Slates answered, by who made them and why it was not HiGR.",
    ("source", "reason"),
)
REJECTED = Metric(
    "higr_rejected_requests", "counter", "Requests answered 4xx, by the field at fault.", ("field",)
)
REQUEST_SECONDS = Metric(
    "higr_request_seconds", "histogram", "Time from request to slate.", ("source",), LATENCY_BUCKETS
)
RESPONSES = Metric(
    "higr_http_responses",
    "counter",
    "Answers over HTTP, by endpoint (slates, feedback, decode) and class of the status: 2xx, 4xx or 5xx.",
    ("endpoint", "status"),
)
SHORT = Metric(
    "higr_short_slates",
    "counter",
    "Slates with fewer items than were asked for: short, or empty.",
    ("length",),
)
STEP_SECONDS = Metric(
    "higr_step_seconds",
    "histogram",
    "Time of one step: features, predictor, baseline, log.",
    ("step",),
    LATENCY_BUCKETS,
)
SHARE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

CATEGORY_DIVERSITY = Metric(
    "higr_slate_category_diversity",
    "histogram",
    "Share of a slate's pairs of items that are of different categories, as served.",
    ("source",),
    SHARE_BUCKETS,
)
PREFIX_SHARE = Metric(
    "higr_slate_prefix_share",
    "histogram",
    "Share of a slate's items that have its most frequent first code, as served.",
    ("source",),
    SHARE_BUCKETS,
)
DEGRADED = Metric(
    "higr_degraded_requests", "counter", "Requests answered without fresh features.", ("reason",)
)
BATCHES = Metric(
    "higr_batches", "counter", "Batches decoded; a batch that failed is tried request by request."
)
BATCHED = Metric("higr_batched_requests", "counter", "Requests in these batches.")
NOT_DECODED = Metric(
    "higr_not_decoded_requests",
    "counter",
    "Requests given up by the decoder before it was too late for another way, by the batcher's reason.",
    ("reason",),
)
IN_FLIGHT = Metric("higr_decoder_in_flight", "gauge", "Requests that the decoder has accepted and not ended.")
WAITING = Metric("higr_decoder_waiting", "gauge", "Of these, requests that wait for their batch.")
LOG_FAILURES = Metric(
    "higr_log_failures",
    "counter",
    "Writes of a log that failed: predictions, feedback, cloudevents. What was to be written is tried again.",
    ("sink",),
)
LOG_DROPPED = Metric(
    "higr_log_dropped_rows", "counter", "Rows that a log has lost: predictions or cloudevents.", ("sink",)
)
FEEDBACK_EVENTS = Metric(
    "higr_feedback_events",
    "counter",
    "Feedback events received: accepted, repeated (there before), refused (the disk did not take them).",
    ("outcome",),
)
PUSHED_EVENTS = Metric(
    "higr_pushed_events",
    "counter",
    "Feedback events on their way into online contexts: pushed, passed_over (training would not see them), "
    "dropped (too many waited).",
    ("outcome",),
)
FEATURE_FAILURES = Metric(
    "higr_feature_failures",
    "counter",
    "Work on the feature store beside requests that failed and is tried again: push, item_status.",
    ("work",),
)
SWITCH = Metric(
    "higr_switch_position", "gauge", "1 for the position in force: auto, higr or baseline.", ("position",)
)
SWITCH_ERRORS = Metric(
    "higr_switch_errors",
    "counter",
    "Changes of the switch file that could not be taken; the last position stays.",
)
BREAKER = Metric(
    "higr_breaker_state",
    "gauge",
    "1 for the state of the breaker before the predictor: closed, open or probing.",
    ("state",),
)
POLICY_ERRORS = Metric(
    "higr_policy_errors", "counter", "Changes of the policy file that could not be taken; the last one stays."
)
POLICY_EXPIRED = Metric(
    "higr_policy_expired", "gauge", "1 once the policy has expired: nothing is sold, all else still holds."
)
TOKEN_ERRORS = Metric(
    "higr_token_errors", "counter", "Changes of a file of tokens that could not be taken; the last ones stay."
)
BUNDLE = Metric(
    "higr_bundle_info", "gauge", "1 for the bundle that is served, 0 for those before it.", ("version",)
)
BUNDLE_ERRORS = Metric(
    "higr_bundle_errors", "counter", "Tries to take another bundle that failed; the one before stays."
)

DRIFT_PSI = Metric(
    "higr_drift_psi", "gauge", "Population stability index of a column, current over reference.", ("column",)
)
DRIFT_VERDICT = Metric(
    "higr_drift_verdict",
    "gauge",
    "1 for the verdict in force: no-data, ok, watch, page or trip.",
    ("verdict",),
)
DRIFT_CAUSE = Metric(
    "higr_drift_cause",
    "gauge",
    "1 for what a watch, page or trip looks like; all 0 where nothing moved.",
    ("cause",),
)
DRIFT_SIGNAL = Metric("higr_drift_signal", "gauge", "A watched figure over the current window.", ("signal",))
DRIFT_SIGNAL_EXPECTED = Metric(
    "higr_drift_signal_expected", "gauge", "The same figure over the reference.", ("signal",)
)
DRIFT_SIGNAL_SHIFT = Metric(
    "higr_drift_signal_shift",
    "gauge",
    "How far a figure has moved, over how far it must move to page: 1 and above pages if it is no chance.",
    ("signal",),
)
DRIFT_ROWS = Metric("higr_drift_rows", "gauge", "Rows compared.", ("window", "table"))
DRIFT_SKIPPED = Metric(
    "higr_drift_skipped_rows",
    "gauge",
    "Rows of the logs that were left out, by log, a dot and the reason; reason part: files.",
    ("reason",),
)
DRIFT_RUN = Metric(
    "higr_drift_last_run_timestamp_seconds", "gauge", "When the drift job last ended, Unix seconds."
)
DRIFT_WINDOW_END = Metric(
    "higr_drift_window_end_timestamp_seconds",
    "gauge",
    "End of the window that was judged last, Unix seconds: a log that stopped makes it old.",
)
DRIFT_SWITCH_MOVED = Metric(
    "higr_drift_switch_moved_timestamp_seconds",
    "gauge",
    "When the drift job last moved the switch to this position, Unix seconds.",
    ("position",),
)
DRIFT_SWITCH_MOVES = Metric(
    "higr_drift_switch_moves", "gauge", "Moves of the switch in the drift job's record.", ("position",)
)
DRIFT_PIPELINE_STARTED = Metric(
    "higr_drift_pipeline_started_timestamp_seconds",
    "gauge",
    "When a trip last started a pipeline, Unix seconds.",
)
DRIFT_ACT_FAILED = Metric(
    "higr_drift_act_failed",
    "gauge",
    "1 where the last run of the drift job should have acted and could not: switch or pipeline.",
    ("action",),
)

JOB_SUCCESS = Metric(
    "higr_job_last_success_timestamp_seconds",
    "gauge",
    "When a scheduled job last ended well, Unix seconds.",
    ("task",),
)
JOB_PERIOD = Metric("higr_job_period_seconds", "gauge", "How often a job is meant to run.", ("task",))
JOB_SECONDS = Metric("higr_job_last_duration_seconds", "gauge", "How long its last run took.", ("task",))
JOB_EXIT_CODE = Metric(
    "higr_job_last_exit_code", "gauge", "Exit code of its last run; 0 is well, 2 bad input.", ("task",)
)
JOB_FIGURE = Metric(
    "higr_job_figure",
    "gauge",
    "A figure that a job printed when it last ended well, such as a loss or a hit rate.",
    ("task", "figure"),
)

OUTCOME_SLATES = Metric(
    "higr_outcome_slates",
    "counter",
    "Slates whose time for feedback is over, with or without feedback, by the bundle that made them.",
    ("version",),
)
OUTCOME_VIEWS = Metric(
    "higr_outcome_effective_view_share",
    "counter",
    "Sum over these slates of the share of their items that was effectively viewed.",
    ("version",),
)
OUTCOME_VIEWS_SQUARES = Metric(
    "higr_outcome_effective_view_share_squares",
    "counter",
    "Sum over these slates of the square of that share.",
    ("version",),
)
OUTCOME_WATCH = Metric(
    "higr_outcome_watch_seconds", "counter", "Seconds that these slates were watched.", ("version",)
)
OUTCOME_WATCH_SQUARES = Metric(
    "higr_outcome_watch_seconds_squares",
    "counter",
    "Sum over these slates of the square of the seconds that each was watched.",
    ("version",),
)
OUTCOME_FEEDBACK = Metric(
    "higr_outcome_feedback_events",
    "counter",
    "Feedback events read from the logs: joined, no_duration (joined, but nobody says how long the item "
    "is), late (their slate was counted before), unknown (no such slate).",
    ("fate",),
)
OUTCOME_SETTLED = Metric(
    "higr_outcome_settled_timestamp_seconds",
    "gauge",
    "When the newest slate that is counted was served, Unix seconds: logs that stop make it old.",
)

ROLLOUT_PHASE = Metric(
    "higr_rollout_phase",
    "gauge",
    "1 for where the rollout is: progressing, promoting, promoted, reverting, rolled-back or held.",
    ("phase",),
)
ROLLOUT_DECISION = Metric(
    "higr_rollout_decision",
    "gauge",
    "1 for what the last look decided: advance, promote, roll-back or hold.",
    ("decision",),
)
ROLLOUT_PHASE_BEGAN = Metric(
    "higr_rollout_phase_began_timestamp_seconds",
    "gauge",
    "When the rollout came to the phase or step it is in, Unix seconds.",
)
ROLLOUT_WEIGHT = Metric(
    "higr_rollout_canary_weight", "gauge", "Per cent of the traffic that the rollout gives to the canary."
)
ROLLOUT_SLATES = Metric(
    "higr_rollout_slates", "gauge", "Slates asked of each side since the step began.", ("side",)
)
ROLLOUT_EXCESS = Metric(
    "higr_rollout_excess",
    "gauge",
    "Bounds (low, high) of how much worse than its margin the canary is, by measure: low above 0 is a "
    "reason to roll back, high up to 0 one to go on.",
    ("measure", "bound"),
)
ROLLOUT_LOOK = Metric(
    "higr_rollout_last_look_timestamp_seconds", "gauge", "When the rollout last looked, Unix seconds."
)

METRICS = tuple(value for value in tuple(globals().values()) if isinstance(value, Metric))
