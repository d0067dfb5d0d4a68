use super::*;
use crate::addon::chart::tests::{pack, unpacked};

fn found(chart: &Chart, values: Value) -> Vec<String> {
    let lines = mistakes(chart, &map(values)).into_iter();
    lines.map(|mistake| format!("{}: {}", mistake.path.join("."), mistake.what)).collect()
}

fn chart() -> Chart {
    let inner = Chart { values: map(json!({"enabled": true})), ..Chart::default() };
    Chart {
        values: map(json!({
            "replicas": 1, "image": {"tag": "v1", "pull": true}, "nodeSelector": {"os": "linux"}, "free": {},
            "open": null, "text": "", "list": [1], "db": {"extra": 1},
        })),
        schema: Some(json!({"properties": {"replicas": {"type": "integer"}, "later": {"type": "string"}}})),
        charts: [(String::from("db"), inner)].into(),
        ..Chart::default()
    }
}

#[test]
fn what_the_chart_knows_is_right() {
    let values = json!({
        "replicas": 3, "image": {"tag": null}, "nodeSelector": {"disk": "ssd"}, "free": {"any": 1},
        "open": [1], "text": 5, "list": [], "db": {"enabled": false, "extra": 2}, "global": {"x": 1}, "later": "a",
    });
    assert_eq!(found(&chart(), values), Vec::<String>::new());
}

#[test]
fn every_mistake_is_found_with_the_nearest_key() {
    let values = json!({
        "replica": 3, "image": {"tga": "v2", "pull": "yes"}, "list": "a", "db": {"enable": false}, "replicas": "three",
        "later": 1, "text": [],
    });
    assert_eq!(
        found(&chart(), values),
        [
            "db.enable: there is no such key: did you mean `enabled`?",
            "image.pull: it is the text \"yes\", the chart has true or false",
            "image.tga: there is no such key: did you mean `tag`?",
            "later: it is the number 1, expected string",
            "list: it is the text \"a\", the chart has a list",
            "replica: there is no such key: did you mean `replicas`?",
            "replicas: it is the text \"three\", expected integer",
        ]
    );
}

#[test]
fn without_a_schema_the_type_of_what_the_chart_has_decides() {
    let chart = Chart {
        values: map(
            json!({"count": 1, "on": true, "name": "web", "null": null, "empty": "", "map": {"deep": 2}}),
        ),
        ..Chart::default()
    };
    for (values, expected) in [
        (json!({"count": 3, "on": false, "name": "b", "null": "x", "empty": 5}), ""),
        (json!({"count": "3"}), ""),
        (json!({"count": "-1.5"}), ""),
        (json!({"count": "50%"}), ""),
        (json!({"count": "500m"}), ""),
        (json!({"count": "{{ .Values.map.deep }}", "on": "{{ .Values.name }}"}), ""),
        (json!({"count": null, "on": null}), ""),
        (json!({"count": ""}), ""),
        (json!({"name": 5}), ""),
        (json!({"count": "three"}), "count: it is the text \"three\", the chart has a number"),
        (json!({"map": {"deep": "two"}}), "map.deep: it is the text \"two\", the chart has a number"),
        (json!({"count": true}), "count: it is true, the chart has a number"),
        (json!({"count": [1]}), "count: it is a list, the chart has the number 1"),
        (json!({"on": "yes"}), "on: it is the text \"yes\", the chart has true or false"),
        (json!({"on": 1}), "on: it is the number 1, the chart has true or false"),
        (json!({"name": ["a"]}), "name: it is a list, the chart has the text \"web\""),
    ] {
        assert_eq!(found(&chart, values.clone()).join("; "), expected, "{values}");
    }
}

/// Maps with defaults that Kubernetes or another program reads; the values are those of the charts that hoist installs.
#[test]
fn the_configuration_of_a_program_is_free_though_the_chart_has_defaults() {
    let grafana = Chart {
        values: map(json!({"grafana.ini": {"server": {"domain": ""}, "log": {"mode": "console"}}})),
        ..Chart::default()
    };
    let chart = Chart {
        values: map(json!({
            "alertmanager": {"config": {"global": {"resolve_timeout": "5m"}, "receivers": [{"name": "null"}]}, "enabled": true},
            "clustermesh": {"config": {"enabled": false}},
            "controller": {
                "containerPort": {"http": 80}, "hostPort": {"ports": {"http": 80}},
                "lifecycle": {"preStop": {"exec": {"command": ["/wait-shutdown"]}}},
            },
            "speaker": {"tlsConfig": {"insecureSkipVerify": true}},
        })),
        charts: [(String::from("grafana"), grafana)].into(),
        ..Chart::default()
    };
    for (values, expected) in [
        (
            json!({"grafana": {"grafana.ini": {"auth.generic_oauth": {"enabled": true}, "smtp": {"host": "a:25"}}}}),
            "",
        ),
        (json!({"grafana": {"grafana.ini": {"server": {"root_url": "https://a/"}}}}), ""),
        (
            json!({"grafana": {"grafana.ini": "a"}}),
            "grafana.grafana.ini: it is the text \"a\", the chart has a map",
        ),
        (
            json!({"alertmanager": {"config": {"global": {"slack_api_url_file": "/a"}, "time_intervals": []}}}),
            "",
        ),
        (
            json!({"alertmanager": {"confg": {}}}),
            "alertmanager.confg: there is no such key: did you mean `config`?",
        ),
        (
            json!({"clustermesh": {"config": {"enable": true}}}),
            "clustermesh.config.enable: there is no such key: did you mean `enabled`?",
        ),
        (json!({"controller": {"containerPort": {"metrics": 10254}, "lifecycle": {"postStart": {}}}}), ""),
        (
            json!({"controller": {"hostPort": {"ports": {"htp": 80}}}}),
            "controller.hostPort.ports.htp: there is no such key: did you mean `http`?",
        ),
        (json!({"speaker": {"tlsConfig": {"serverName": "a"}}}), ""),
    ] {
        assert_eq!(found(&chart, values.clone()).join("; "), expected, "{values}");
    }
}

#[test]
fn what_switches_charts_on_is_known_though_no_values_name_it() {
    let chart = unpacked(&pack(&[
        (
            "web/Chart.yaml",
            b"name: web\ndependencies:\n- {name: db, condition: 'db.enabled, parts.db', tags: [state]}\n\
              - {name: front}\n",
        ),
        ("web/charts/db/Chart.yaml", b"name: db\n"),
        ("web/charts/db/values.yaml", b"size: 1Gi\n"),
        ("web/charts/front/Chart.yaml", b"name: front\ndependencies: [{name: cache, tags: [fast]}]\n"),
        ("web/charts/front/charts/cache/Chart.yaml", b"name: cache\n"),
    ]));
    for (values, expected) in [
        (json!({"db": {"enabled": false, "size": "2Gi"}, "parts": {"db": true}}), ""),
        (json!({"tags": {"state": false, "fast": true}}), ""),
        (json!({"db": {"enabled": "no"}}), "db.enabled: it is the text \"no\", the chart has true or false"),
        (json!({"parts": {"dp": true}}), "parts.dp: there is no such key: did you mean `db`?"),
        (json!({"tags": {"stats": false}}), "tags.stats: there is no such key: did you mean `state`?"),
        (json!({"tags": {"fast": 1}}), "tags.fast: it is the number 1, the chart has true or false"),
        (json!({"front": {"tags": {"fast": true}}}), "front.tags: there is no such key; there are `cache`"),
    ] {
        assert_eq!(found(&chart, values.clone()).join("; "), expected, "{values}");
    }
    let without = Chart { values: map(json!({"a": 1})), ..Chart::default() };
    assert_eq!(found(&without, json!({"tags": {"a": true}}))[0], "tags: there is no such key; there are `a`");
}

#[test]
fn maps_are_merged_and_the_rest_is_replaced() {
    let mut base = json!({"a": {"b": 1, "c": [1, 2]}});
    merge(&mut base, &json!({"a": {"c": [3]}, "d": null}));
    assert_eq!(base, json!({"a": {"b": 1, "c": [3]}, "d": null}));
    strip_nulls(&mut base);
    assert_eq!(base, json!({"a": {"b": 1, "c": [3]}}));
}
