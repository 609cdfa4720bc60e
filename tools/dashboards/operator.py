"""What the operator tells of itself."""

from typing import Final

from .grafana import RED, YELLOW, Dashboard, Panel, Query, Row, Variable, heatmap, stat

OF: Final = 'namespace=~"$namespace"'
NAMESPACES: Final = Variable("namespace", "label_values(alphapanda_operator_info, namespace)")


def _of(metric: str) -> str:
    return f"alphapanda_operator_{metric}{{{OF}}}"


def _per_minute(metric: str, by: str) -> str:
    return f"60 * sum by ({by}) (rate({_of(metric)}[$__rate_interval]))"


def _bars(title: str, text: str, metric: str, by: str, legend: str) -> Panel:
    return Panel(title, text, (Query(_per_minute(metric, f"namespace, {by}"), legend),), bars=True)


OPERATOR: Final = Dashboard(
    "operator",
    "Operator",
    "Does it lead, does it renew the trading states, does it keep up. Namespaces are those that operators run in.",
    (NAMESPACES,),
    (
        Row(
            "Is all well?",
            (
                stat(
                    "Leaders",
                    "Replicas that lead: one for each installation. Without one trading states expire and orders halt.",
                    Query(f"sum by (namespace) ({_of('leader')})", "{{namespace}}"),
                    words={0: ("none", RED)},
                    steps=((2, RED),),
                ),
                stat(
                    "Since trading states were renewed",
                    "Of the leader. They expire `control.ttlSeconds` after it (60 by default), then new orders halt.",
                    Query(
                        f"max by (namespace) ({_of('control_age_seconds')} and on (namespace, pod) {_of('leader')} == 1)",
                        "{{namespace}}",
                    ),
                    unit="s",
                    steps=((30, YELLOW), (60, RED)),
                ),
                stat(
                    "Waiting resources",
                    "That are due and wait for a worker.",
                    Query(f"max by (namespace) ({_of('queue_depth')})", "{{namespace}}"),
                ),
                stat(
                    "Longest waiting",
                    "How long the first of them has been due.",
                    Query(f"max by (namespace) ({_of('queue_age_seconds')})", "{{namespace}}"),
                    unit="s",
                    steps=((60, RED),),
                ),
                stat(
                    "Failing resources",
                    "Whose reconcile has failed three times in a row or more.",
                    Query(
                        f"max by (namespace) (sum by (namespace, pod) ({_of('failing_resources')}))",
                        "{{namespace}}",
                    ),
                    steps=((1, RED),),
                ),
                stat(
                    "Watch behind",
                    "How long a version that a listing has shown has been unknown to the watch.",
                    Query(f"max by (namespace) ({_of('watch_lag_seconds')})", "{{namespace}}"),
                    unit="s",
                    steps=((30, RED),),
                ),
                stat(
                    "Versions",
                    "Replicas by version.",
                    Query(f"count by (namespace, version) ({_of('info')})", "{{version}}"),
                ),
                stat(
                    "Resources",
                    "That the leader knows, by kind.",
                    Query(
                        f"sum by (namespace, kind) ({_of('resources')} and on (namespace, pod) {_of('leader')} == 1)",
                        "{{kind}}",
                    ),
                    width=8,
                ),
                stat(
                    "Since the watches brought anything",
                    "Bookmarks don't count: long where nothing changes.",
                    Query(f"max by (namespace) ({_of('watch_event_age_seconds')})", "{{namespace}}"),
                    unit="s",
                    width=12,
                ),
            ),
        ),
        Row(
            "Reconciling",
            (
                _bars(
                    "Reconciles",
                    "Each minute, by kind and result; `failed` and `crashed` are tried again, later each time.",
                    "reconciles_total",
                    "kind, result",
                    "{{kind}} {{result}}",
                ),
                Panel(
                    "How long they take",
                    "95th percentile by kind.",
                    (
                        Query(
                            f"histogram_quantile(0.95, sum by (namespace, kind, le) (rate({_of('reconcile_seconds_bucket')}[$__rate_interval])))",
                            "{{kind}} p95",
                        ),
                    ),
                    unit="s",
                ),
                heatmap(
                    "All of them",
                    "How many took how long.",
                    "alphapanda_operator_reconcile_seconds",
                    OF,
                    width=8,
                ),
                _bars(
                    "Applies", "Children written each minute, by kind.", "applies_total", "kind", "{{kind}}"
                ),
                _bars(
                    "Events",
                    "Written each minute for people, by reason.",
                    "events_total",
                    "reason",
                    "{{reason}}",
                ),
                _bars(
                    "Trading states written",
                    "Each minute; `failed`: Redis did not answer.",
                    "control_writes_total",
                    "result",
                    "{{result}}",
                ),
            ),
        ),
        Row(
            "API server",
            (
                _bars(
                    "Requests",
                    "Each minute, by verb and resource.",
                    "api_requests_total",
                    "verb, resource",
                    "{{verb}} {{resource}}",
                ),
                _bars("Answers", "Each minute, by code.", "api_requests_total", "code", "{{code}}"),
            ),
        ),
    ),
)
