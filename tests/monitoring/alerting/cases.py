# ruff: noqa: E501  # a table, one case a row
"""What Prometheus is shown, and which alert must come of it: for every alert one that fires, one that does not.

Series are in promtool's notation: `0+10x60` is a counter that grows by 10 a step for 60 steps, `1x9` ten ones.
Descriptions are worked out by hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

SLATES = 'higr_slates_total{source="higr", reason=""}'
FEEDBACK = 'higr_feedback_events_total{outcome="accepted"}'
IN_TIME, LATE, ALL = (
    f'higr_request_seconds_bucket{{source="higr", le="{le}"}}' for le in ("0.3", "0.5", "+Inf")
)
FED = 'higr_http_responses_total{endpoint="feedback", status="2xx"}'
QUARTER = 'higr_request_seconds_bucket{source="higr", le="0.25"}'
COUNT = 'higr_request_seconds_count{source="higr"}'


def slates(source: str, reason: str) -> str:
    return f'higr_slates_total{{source="{source}", reason="{reason}"}}'


def answers(status: str) -> str:
    return f'higr_http_responses_total{{endpoint="slates", status="{status}"}}'


def switch(position: str, pod: str = "a") -> str:
    return f'higr_switch_position{{position="{position}", pod="{pod}"}}'


def bundle(version: str, pod: str) -> str:
    return f'higr_bundle_info{{version="{version}", pod="{pod}"}}'


def verdict(name: str) -> Mapping[str, str]:
    """The drift gauges under one verdict."""
    flags = {
        f'higr_drift_verdict{{verdict="{known}"}}': f"{int(known == name)}x90"
        for known in ("ok", "no-data", "watch", "page", "trip")
    }
    psi = {
        'higr_drift_psi{column="served_code_1"}': "0.6x90",
        'higr_drift_psi{column="slates_source"}': "0.3x90",
    }
    return {**flags, **psi}


@dataclass(frozen=True)
class Firing:
    """Attributes:
    labels: beside those of the rule itself.
    """

    severity: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Attributes:
    at: when it is looked at; step: between two values of a series, and between two evaluations.
    fires: nothing: the alert must be quiet.
    """

    alert: str
    name: str
    at: str
    series: Mapping[str, str]
    fires: tuple[Firing, ...] = ()
    step: str = "1m"


def case(alert: str, name: str, at: str, series: Mapping[str, str], *fires: Firing, step: str = "1m") -> Case:
    return Case(alert, name, at, series, fires, step)


def page(description: str, **labels: str) -> Firing:
    return Firing("page", description, labels)


def watch(description: str, **labels: str) -> Firing:
    return Firing("watch", description, labels)


CASES: tuple[Case, ...] = (
    # Availability
    case("HigrServingDown", "no transformer", "3m", {"up": "0x10"},
         page("higr_switch_position has been missing for 2 minutes: no process answers, or none is scraped.")),
    case("HigrServingDown", "away for a minute", "1m", {"up": "0x10"}),
    case("HigrServingDown", "one of two is left", "10m", {switch("auto"): "1x3 stale", switch("auto", "b"): "1x20"}),
    case("HigrNoRequests", "silence after traffic", "145m", {SLATES: "0+100x120 12000x30"},
         page("No slate was asked for in 15 minutes; over the last day there was one every 20 seconds or more often.")),
    case("HigrNoRequests", "silence that has just begun", "138m", {SLATES: "0+100x120 12000x30"}),
    case("HigrNoRequests", "a quiet site", "145m", {SLATES: "0+30x120 3600x30"}),
    case("HigrServerErrors", "one in fifty", "12m", {answers("2xx"): "0+98x20", answers("5xx"): "0+2x20", FED: "0+900x20"},
         page("2% of answers in the last 5 minutes were 5xx; none should be.")),
    case("HigrServerErrors", "one in two hundred", "12m", {answers("2xx"): "0+199x20", answers("5xx"): "0+1x20"}),
    case("HigrServerErrors", "of the predictor alone", "12m",
         {answers("2xx"): "0+9x20", answers("5xx").replace("slates", "decode"): "0+9x20"}),
    case("HigrRejectedRequests", "three in ten", "40m", {answers("2xx"): "0+70x60", answers("4xx"): "0+30x60", FED: "0+900x60"},
         watch("30% of answers in the last 15 minutes were 4xx.")),
    case("HigrRejectedRequests", "one in ten", "40m", {answers("2xx"): "0+90x60", answers("4xx"): "0+10x60"}),
    # 90 of 100 within 0.25 s, all within 0.5 s: the 99th is 0.25 + 0.25 * 9 / 10.
    case("HigrSlow", "the 99th is late", "20m", {QUARTER: "0+90x30", LATE: "0+100x30", ALL: "0+100x30"},
         watch("99 of 100 slates come within 475ms; the deadline is 0.3 s.")),
    case("HigrSlow", "the 99th is in time", "20m", {QUARTER: "0+995x30", LATE: "0+1000x30", ALL: "0+1000x30"}),
    case("HigrEmptySlates", "one in five hundred", "20m", {'higr_short_slates_total{length="empty"}': "0+1x30", SLATES: "0+500x30"},
         page("0.2% of slates in the last 10 minutes had no item; none should be empty.")),
    case("HigrEmptySlates", "one in two thousand", "20m",
         {'higr_short_slates_total{length="empty"}': "0+1x30", SLATES: "0+2000x30"}),
    case("HigrEmptySlates", "short is not empty", "20m", {'higr_short_slates_total{length="short"}': "0+9x30", SLATES: "0+100x30"}),
    case("HigrShortSlates", "one in five hundred", "45m", {'higr_short_slates_total{length="short"}': "0+1x60", SLATES: "0+500x60"},
         watch("0.2% of slates in the last 30 minutes were short.")),
    case("HigrShortSlates", "one in two thousand", "45m", {'higr_short_slates_total{length="short"}': "0+1x60", SLATES: "0+2000x60"}),
    case("HigrShortSlates", "empty is not short", "45m",
         {'higr_short_slates_total{length="short"}': "0x60", 'higr_short_slates_total{length="empty"}': "0+9x60", SLATES: "0+100x60"}),
    # Fallback
    case("HigrFallbackShare", "a fifth too late", "20m", {SLATES: "0+80x30", slates("baseline", "deadline"): "0+20x30"},
         watch("20% of slates fall back for reason deadline.", reason="deadline")),
    case("HigrFallbackShare", "two reasons, each by itself", "20m",
         {SLATES: "0+60x30", slates("baseline", "deadline"): "0+20x30", slates("popular", "overloaded"): "0+20x30"},
         watch("20% of slates fall back for reason deadline.", reason="deadline"),
         watch("20% of slates fall back for reason overloaded.", reason="overloaded")),
    case("HigrFallbackShare", "a twentieth", "20m", {SLATES: "0+95x30", slates("baseline", "deadline"): "0+5x30"}),
    case("HigrFallbackShare", "the switch has an alert of its own", "20m", {slates("baseline", "switch"): "0+100x30"}),
    case("HigrMostlyFallback", "reasons together", "12m",
         {SLATES: "0+40x20", slates("baseline", "unreachable"): "0+30x20", slates("baseline", "breaker"): "0+30x20"},
         page("60% of slates were not made by the model in the last 5 minutes.")),
    case("HigrMostlyFallback", "less than half", "12m", {SLATES: "0+60x20", slates("baseline", "unreachable"): "0+40x20"}),
    case("HigrMostlyFallback", "two minutes", "2m", {slates("baseline", "unreachable"): "0+40x20"}),
    case("HigrBaselineFailing", "one in fifty", "12m", {SLATES: "0+98x20", slates("popular", "unreachable"): "0+2x20"},
         page("2% of slates are popular items because model and baseline failed.")),
    case("HigrBaselineFailing", "one in two hundred", "12m", {SLATES: "0+199x20", slates("popular", "unreachable"): "0+1x20"}),
    case("HigrBaselineFailing", "a crowd", "12m", {SLATES: "0+50x20", slates("popular", "overloaded"): "0+50x20"}),
    case("HigrBreakerOpen", "two minutes of three, in one of two", "12m",
         {'higr_breaker_state{state="closed", pod="a"}': "0 0 1 0 0 1 0 0 1 0 0 1 0 0 1", 'higr_breaker_state{state="closed", pod="b"}': "1x20"},
         watch("The breaker of at least one process was closed only 33.33% of the last 5 minutes.")),
    case("HigrBreakerOpen", "for a moment", "12m",
         {'higr_breaker_state{state="closed"}': "1x9 0x1 1x9", 'higr_breaker_state{state="open"}': "0x9 1x1 0x9"}),
    case("HigrDecoderOverloaded", "a fifth given up", "20m",
         {'higr_not_decoded_requests_total{reason="no_time"}': "0+20x30", "higr_batched_requests_total": "0+80x30"},
         watch("20% of what the decoder was asked for was given up.")),
    case("HigrDecoderOverloaded", "a twentieth", "20m",
         {'higr_not_decoded_requests_total{reason="no_time"}': "0+5x30", "higr_batched_requests_total": "0+95x30"}),
    case("HigrDegraded", "the store is late", "20m", {SLATES: "0+100x30", 'higr_degraded_requests_total{reason="late"}': "0+30x30"},
         watch("30% of slates had no fresh features, for reason late.", reason="late")),
    case("HigrDegraded", "a twentieth", "20m", {SLATES: "0+100x30", 'higr_degraded_requests_total{reason="late"}': "0+5x30"}),
    case("HigrDegraded", "many visitors", "20m", {SLATES: "0+100x30", 'higr_degraded_requests_total{reason="unknown_user"}': "0+90x30"}),
    case("HigrFeatureWorkFailing", "pushes fail", "25m", {'higr_feature_failures_total{work="push"}': "0+1x30"},
         watch("Work push failed 10 times in 10 minutes; it is tried again.", work="push")),
    case("HigrFeatureWorkFailing", "once", "25m", {'higr_feature_failures_total{work="push"}': "0x5 1x30"}),
    case("HigrPushDropped", "too many", "20m", {'higr_pushed_events_total{outcome="dropped"}': "0+10x30"},
         watch("100 events were dropped on their way to the store in 10 minutes; the feedback log has them.")),
    case("HigrPushDropped", "passed over is not dropped", "20m",
         {'higr_pushed_events_total{outcome="dropped"}': "0x30", 'higr_pushed_events_total{outcome="passed_over"}': "0+10x30"}),
    # Levers
    case("HigrSwitchOnBaseline", "one of two", "3m", {switch("baseline"): "1x9", switch("baseline", "b"): "0x9"},
         watch("At least one transformer stands on baseline; the model makes none of its slates until it is put back.")),
    case("HigrSwitchOnBaseline", "on auto", "3m", {switch("baseline"): "0x9", switch("auto"): "1x9"}),
    case("HigrSwitchPinned", "all on higr", "250m", {switch("higr"): "1x300", switch("higr", "b"): "1x300", switch("auto"): "0x300"},
         watch("All transformers have stood on higr for 4 hours; auto is the position that protects.")),
    case("HigrSwitchPinned", "for three hours", "180m", {switch("higr"): "1x300"}),
    case("HigrSwitchDisagrees", "auto and baseline", "12m",
         {switch("auto"): "1x20", switch("baseline"): "0x20", switch("auto", "b"): "0x20", switch("baseline", "b"): "1x20"},
         watch("2 positions are in force at once; a change reaches every pod within about a minute.")),
    case("HigrSwitchDisagrees", "while a change spreads", "12m",
         {switch("auto"): "1x5 0x14", switch("baseline"): "0x5 1x14", switch("auto", "b"): "1x7 0x12", switch("baseline", "b"): "0x7 1x12"}),
    case("HigrSwitchUnreadable", "once", "10m", {"higr_switch_errors_total": "0x5 1x9"},
         page("1 changes of the switch file could not be taken in 10 minutes; the last position stays.")),
    case("HigrSwitchUnreadable", "long ago", "30m", {"higr_switch_errors_total": "0x5 1x40"}),
    case("HigrPolicyUnreadable", "once", "10m", {"higr_policy_errors_total": "0x5 1x9"},
         page("1 changes of the policy file could not be taken in 10 minutes; the last policy stays.")),
    case("HigrPolicyUnreadable", "never", "10m", {"higr_policy_errors_total": "0x20"}),
    case("HigrPolicyExpired", "expired", "7m", {"higr_policy_expired": "1x9"},
         watch("At least one process serves under a policy whose `expires` has passed.")),
    case("HigrPolicyExpired", "not yet", "7m", {"higr_policy_expired": "0x9"}),
    case("HigrTokensUnreadable", "once", "10m", {"higr_token_errors_total": "0x5 1x9"},
         page("1 changes of a file of tokens could not be taken in 10 minutes; the last ones stay.")),
    case("HigrTokensUnreadable", "never", "10m", {"higr_token_errors_total": "0x20"}),
    case("HigrBundleRefused", "every 30 s", "10m", {"higr_bundle_errors_total": "0+2x20"},
         watch("20 tries to take another bundle failed in 10 minutes.")),
    case("HigrBundleRefused", "never", "10m", {"higr_bundle_errors_total": "0x20"}),
    case("HigrBundlesDiffer", "a stuck roll-out", "70m", {bundle("v1", "a"): "1x90", bundle("v1", "b"): "0x90", bundle("v2", "b"): "1x90"},
         watch("2 versions have been served side by side for an hour.")),
    case("HigrBundlesDiffer", "done within the hour", "90m",
         {bundle("v1", "a"): "1x30 0x90", bundle("v2", "a"): "0x30 1x90", bundle("v2", "b"): "1x120"}),
    # Logs
    case("HigrLogFailures", "again and again", "20m", {'higr_log_failures_total{sink="predictions"}': "0+1x30"},
         watch("10 writes of predictions failed in 10 minutes.", sink="predictions")),
    case("HigrLogFailures", "never", "20m", {'higr_log_failures_total{sink="predictions"}': "0x30"}),
    case("HigrLogRowsLost", "too many waited", "20m", {'higr_log_dropped_rows_total{sink="cloudevents"}': "0+5x30"},
         watch("50 rows of cloudevents were lost in 10 minutes.", sink="cloudevents")),
    case("HigrLogRowsLost", "none", "20m", {'higr_log_dropped_rows_total{sink="cloudevents"}': "0x30"}),
    case("HigrFeedbackRefused", "the disk is full", "20m", {'higr_feedback_events_total{outcome="refused"}': "0+10x30"},
         page("100 events were refused in 10 minutes.")),
    case("HigrFeedbackRefused", "repeats are no refusals", "20m",
         {'higr_feedback_events_total{outcome="refused"}': "0x30", 'higr_feedback_events_total{outcome="repeated"}': "0+10x30"}),
    case("HigrFeedbackOutage", "it stops after two days", "51h", {SLATES: "0+1000x320", FEEDBACK: "0+500x288 144000x32"},
         watch("0 events a slate in the last hour, less than a fifth of the week's mean."), step="10m"),
    case("HigrFeedbackOutage", "less of it", "51h", {SLATES: "0+1000x320", FEEDBACK: "0+500x288 144000+200x32"}, step="10m"),
    case("HigrFeedbackOutage", "never was any", "51h", {SLATES: "0+1000x320"}, step="10m"),
    # Budgets
    case("HigrFallbackBudget", "four of five for an hour", "75m", {SLATES: "0+20x90", slates("baseline", "unreachable"): "0+80x90"},
         page("80% of slates were not made by HiGR over 1 or 6 hours; 0.05 of all are allowed over 30 days."),
         watch("80% of slates were not made by HiGR over 1 or 3 days; 0.05 of all are allowed over 30 days.")),
    case("HigrFallbackBudget", "one of five for hours", "4h", {SLATES: "0+800x30", slates("baseline", "deadline"): "0+200x30"},
         watch("20% of slates were not made by HiGR over 1 or 3 days; 0.05 of all are allowed over 30 days."), step="10m"),
    case("HigrFallbackBudget", "within the budget", "4h", {SLATES: "0+960x30", slates("baseline", "deadline"): "0+40x30"}, step="10m"),
    case("HigrFallbackBudget", "a handful of requests", "75m", {slates("baseline", "unreachable"): "0+1x90"}),
    case("HigrFallbackBudget", "over for forty minutes: no page any more", "101m",
         {SLATES: "0x60 0+100x60", slates("baseline", "unreachable"): "0+100x60 6000x60"},
         watch("60% of slates were not made by HiGR over 1 or 3 days; 0.05 of all are allowed over 30 days.")),
    # An hour is a sixth of six: 80 % of it are 13 % of them, below the 30 % that page.
    case("HigrFallbackBudget", "four of five, after five good hours", "360m",
         {SLATES: "0+100x300 30020+20x60", slates("baseline", "unreachable"): "0x300 80+80x60"},
         page("80% of slates were not made by HiGR over 1 or 6 hours; 0.05 of all are allowed over 30 days.")),
    case("HigrFallbackBudget", "half of them, after five good hours", "360m",
         {SLATES: "0+100x300 30050+50x60", slates("baseline", "unreachable"): "0x300 50+50x60"}),
    case("HigrFallbackBudget", "for a minute", "2m", {SLATES: "0+200x9", slates("baseline", "unreachable"): "0+800x9"}),
    case("HigrFallbackBudget", "for half an hour: a page, no watch yet", "30m", {SLATES: "0+20x90", slates("baseline", "unreachable"): "0+80x90"},
         page("80% of slates were not made by HiGR over 1 or 6 hours; 0.05 of all are allowed over 30 days.")),
    case("HigrLatencyBudget", "one of five late", "75m", {SLATES: "0+100x90", COUNT: "0+100x90", IN_TIME: "0+80x90"},
         page("20% of slates took over 0.3 s over 1 or 6 hours; 0.01 of all are allowed over 30 days."),
         watch("20% of slates took over 0.3 s over 1 or 3 days; 0.01 of all are allowed over 30 days.")),
    case("HigrLatencyBudget", "one of twenty late", "4h", {SLATES: "0+1000x30", COUNT: "0+1000x30", IN_TIME: "0+950x30"},
         watch("5% of slates took over 0.3 s over 1 or 3 days; 0.01 of all are allowed over 30 days."), step="10m"),
    case("HigrLatencyBudget", "one of two hundred late", "4h", {SLATES: "0+1000x30", COUNT: "0+1000x30", IN_TIME: "0+995x30"}, step="10m"),
    case("HigrErrorBudget", "three in a hundred", "75m", {answers("2xx"): "0+97x90", answers("5xx"): "0+3x90"},
         page("3% of requests were answered 5xx over 1 or 6 hours; 0.001 of all are allowed over 30 days."),
         watch("3% of requests were answered 5xx over 1 or 3 days; 0.001 of all are allowed over 30 days.")),
    case("HigrErrorBudget", "one in two hundred", "4h", {answers("2xx"): "0+995x30", answers("5xx"): "0+5x30"},
         watch("0.5% of requests were answered 5xx over 1 or 3 days; 0.001 of all are allowed over 30 days."), step="10m"),
    case("HigrErrorBudget", "one in two thousand", "4h", {answers("2xx"): "0+1999x30", answers("5xx"): "0+1x30"}, step="10m"),
    # Drift
    case("HigrDriftWatch", "watch", "2m", verdict("watch"),
         watch("The drift job says watch. Columns by PSI: served_code_1 (0.60) slates_source (0.30).")),
    case("HigrDriftWatch", "a louder one has its own alert", "2m", verdict("page")),
    case("HigrDriftPage", "page", "2m", verdict("page"),
         page("The drift job says page. Columns by PSI: served_code_1 (0.60) slates_source (0.30).")),
    case("HigrDriftPage", "ok", "2m", verdict("ok")),
    case("HigrDriftTrip", "trip", "2m", verdict("trip"),
         page("The drift job says trip. Columns by PSI: served_code_1 (0.60) slates_source (0.30).")),
    case("HigrDriftTrip", "page is no trip", "2m", verdict("page")),
    case("HigrDriftCannotTrip", "the switch cannot be written", "2m", {'higr_drift_act_failed{action="switch"}': "1x9"},
         page("The last run of the drift job should have moved the switch, and failed.")),
    case("HigrDriftCannotTrip", "moved", "2m",
         {'higr_drift_act_failed{action="switch"}': "0x9", 'higr_drift_act_failed{action="pipeline"}': "1x9"}),
    case("HigrDriftNoPipeline", "Kubeflow does not answer", "2m", {'higr_drift_act_failed{action="pipeline"}': "1x9"},
         watch("The last run of the drift job moved the switch, and its pipeline did not start.")),
    case("HigrDriftNoPipeline", "started", "2m", {'higr_drift_act_failed{action="pipeline"}': "0x9"}),
    case("HigrDriftNoData", "for more than a period", "65m", verdict("no-data"),
         watch("The drift job has said no-data for longer than one of its periods.")),
    case("HigrDriftNoData", "ok", "65m", verdict("ok")),
    case("HigrDriftNoData", "for one run", "45m", verdict("no-data")),
    # Rollout. Times begin at 0.
    case("HigrRolloutHeld", "held", "2m", {'higr_rollout_phase{phase="held"}': "1x9"},
         watch("The rollout is held at the weight that its canary has.")),
    case("HigrRolloutHeld", "on its way", "2m",
         {'higr_rollout_phase{phase="held"}': "0x9", 'higr_rollout_phase{phase="progressing"}': "1x9"}),
    case("HigrRolloutRolledBack", "just now", "2m",
         {'higr_rollout_phase{phase="rolled-back"}': "1x9", "higr_rollout_phase_began_timestamp_seconds": "0x9"},
         watch("The last rollout was taken back 2m 0s ago.")),
    case("HigrRolloutRolledBack", "the day before", "25h",
         {'higr_rollout_phase{phase="rolled-back"}': "1x30", "higr_rollout_phase_began_timestamp_seconds": "0x30"}, step="1h"),
    case("HigrRolloutRolledBack", "promoted", "2m",
         {'higr_rollout_phase{phase="promoted"}': "1x9", "higr_rollout_phase_began_timestamp_seconds": "0x9"}),
    case("HigrRolloutStalled", "nobody looks", "16m",
         {'higr_rollout_phase{phase="progressing"}': "1x30", "higr_rollout_last_look_timestamp_seconds": "0x30"},
         watch("The rollout last looked 16m 0s ago.")),
    case("HigrRolloutStalled", "it starts again", "14m",
         {'higr_rollout_phase{phase="progressing"}': "1x30", "higr_rollout_last_look_timestamp_seconds": "0x30"}),
    case("HigrRolloutStalled", "it has ended", "16m",
         {'higr_rollout_phase{phase="promoted"}': "1x30", "higr_rollout_last_look_timestamp_seconds": "0x30"}),
    # Jobs
    case("HigrDriftAbsent", "nothing to scrape", "16m", {"up": "0x20"},
         watch("higr_drift_verdict has been missing for 15 minutes: drift is not watched.")),
    case("HigrDriftAbsent", "while the exporter starts again", "5m", {"up": "0x20"}),
    case("HigrDriftAbsent", "there", "16m", verdict("ok")),
    # Times begin at 0: a run that ended then is as old as the clock.
    case("HigrDriftStale", "two hours and forty minutes", "160m", {"higr_drift_last_run_timestamp_seconds": "0x200"},
         watch("The drift job last ended 2h 40m 0s ago.")),
    case("HigrDriftStale", "just overdue", "153m", {"higr_drift_last_run_timestamp_seconds": "0x200"}),
    case("HigrDriftStale", "two hours", "120m", {"higr_drift_last_run_timestamp_seconds": "0x200"}),
    case("HigrJobStale", "two hours and forty minutes, hourly", "160m",
         {'higr_job_last_success_timestamp_seconds{task="features"}': "0x200", 'higr_job_period_seconds{task="features"}': "3600x200"},
         watch("Job features last ended well 2h 40m 0s ago.", task="features")),
    case("HigrJobStale", "just overdue", "153m",
         {'higr_job_last_success_timestamp_seconds{task="features"}': "0x200", 'higr_job_period_seconds{task="features"}': "3600x200"}),
    case("HigrJobStale", "the same, daily", "160m",
         {'higr_job_last_success_timestamp_seconds{task="train"}': "0x200", 'higr_job_period_seconds{task="train"}': "86400x200"}),
    case("HigrJobFailed", "bad input", "2m",
         {'higr_job_last_exit_code{task="train"}': "2x9", 'higr_job_last_exit_code{task="features"}': "0x9"},
         watch("Job train ended with exit code 2.", task="train")),
    case("HigrJobFailed", "all well", "2m", {'higr_job_last_exit_code{task="features"}': "0x9"}),
    case("HigrJobMissing", "features was never heard of", "31m",
         {'higr_job_last_success_timestamp_seconds{task="train"}': "0x60"},
         watch("Nothing is known of job features; its first success clears this.")),
    case("HigrJobMissing", "it was", "31m", {'higr_job_last_success_timestamp_seconds{task="features"}': "0x60"}),
    case("HigrWatchdog", "always", "1m", {"up": "1x9"}, Firing("none", "Prometheus evaluates rules and reaches Alertmanager.")),
)  # fmt: skip

NEVER_QUIET = {"HigrWatchdog"}
"""Alerts that fire whatever is seen: they prove that alerts arrive."""
