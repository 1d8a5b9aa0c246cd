//! The figures of the API, the views of the database, and the records themselves say the same.

use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Text};
use douse::store::{Db, Store};
use serde_json::{Value, json};

use super::real::{LIMIT, run};
use crate::support::engine::{Engine, Setup};
use crate::support::host::Host;
use crate::support::postgres;
use crate::support::wait::wait_until;

const WORKS: &str = "\
name: works
description: Works
mode: auto
target: {from: web1}
steps: [{name: Do, command: 'true'}]
triggers: [{name: down, alert_name_pattern: 'Down*', cooldown_seconds: 300}]
";

const FAILS: &str = "\
name: fails
description: Never works
mode: auto
target: {from: web1}
steps: [{name: Break, command: 'exit 7'}]
";

const UNDOES: &str = "\
name: undoes
description: Fails, and is undone
mode: auto
target: {from: web1}
steps:
  - {name: Do, command: 'true', rollback: {command: 'true'}}
  - {name: Break, command: 'exit 7'}
";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    one: i64,
    #[diesel(sql_type = BigInt)]
    two: i64,
    #[diesel(sql_type = BigInt)]
    three: i64,
}

type Figures = BTreeMap<String, (i64, i64, i64)>;

/// What a query over a view says.
fn view(url: &str, sql: &'static str) -> Figures {
    let url = url.to_owned();
    let rows = tokio::runtime::Runtime::new().unwrap().block_on(async move {
        let store = Store::inspect(&url).await.unwrap();
        let read = store.read(move |db| {
            Ok(match db {
                Db::Sqlite(c) => diesel::sql_query(sql).load::<Row>(c)?,
                Db::Pg(c) => diesel::sql_query(sql).load::<Row>(c)?,
            })
        });
        read.await.unwrap()
    });
    rows.into_iter().map(|row| (row.name, (row.one, row.two, row.three))).collect()
}

fn items(engine: &Engine, path: &str, name: &str, keys: [&str; 3]) -> Figures {
    let found = engine.get(&format!("/api/v1/stats/{path}"));
    let number = |item: &Value, key: &str| item[key].as_i64().unwrap_or(0);
    let rows = found["items"].as_array().unwrap();
    let key = |item: &Value| {
        if name == "pair" {
            format!("{} {}", item["runbook"].as_str().unwrap(), item["server"].as_str().unwrap())
        } else {
            item[name].as_str().unwrap().to_owned()
        }
    };
    rows.iter().map(|item| (key(item), (number(item, keys[0]), number(item, keys[1]), number(item, keys[2])))).collect()
}

fn counted(counts: &Value) -> Figures {
    counts.as_object().unwrap().iter().map(|(word, count)| (word.clone(), (count.as_i64().unwrap(), 0, 0))).collect()
}

fn agrees(storage: Option<String>) {
    let host = Host::start(&["nginx"]);
    let mut setup: Setup =
        Engine::setup().runbook("works.yml", WORKS).runbook("fails.yml", FAILS).runbook("undoes.yml", UNDOES);
    if let Some(url) = &storage {
        setup = setup.storage(url);
    }
    let engine = setup
        .config("limits: {recently_remediated: 0s, attempts: {count: 0, window: 1h}}")
        .server(host.sshd.server_yaml("web1"))
        .start();
    let url = storage.unwrap_or_else(|| format!("sqlite://{}/data/douse.db", engine.folder().display()));
    // Completed, then held by the cooldown; failed twice; failed and undone.
    let alert = |name: &str| {
        json!({"version": "4", "alerts": [{"status": "firing", "startsAt": "2026-01-01T00:00:00Z",
            "labels": {"alertname": name, "instance": "web1:9100"}}]})
    };
    assert_eq!(engine.deliver(&alert("DownOne")).status, 200);
    let id = engine.wait_execution("works", LIMIT);
    engine.wait_status(&id, "completed", LIMIT);
    assert_eq!(engine.deliver(&alert("DownTwo")).status, 200);
    for runbook in ["fails", "fails", "undoes"] {
        let id = run(&engine, runbook);
        engine.wait_status(&id, "failed", LIMIT);
    }
    wait_until(
        "the second alert is held",
        LIMIT,
        || engine.get("/api/v1/stats/funnel"),
        |funnel| funnel["decisions"]["held"] == 1,
    );

    let records = engine.executions();
    let count = |runbook: &str, status: Option<&str>| {
        let of = records.iter().filter(|row| row["runbook"] == runbook && status.is_none_or(|s| row["status"] == s));
        i64::try_from(of.count()).unwrap()
    };
    let undone = records.iter().find(|row| row["runbook"] == "undoes").unwrap();
    assert_eq!(undone["rollback"], "done", "{undone}");
    let expected: Figures = ["works", "fails", "undoes"]
        .iter()
        .map(|name| {
            ((*name).to_owned(), (count(name, None), count(name, Some("completed")), count(name, Some("failed"))))
        })
        .collect();
    assert_eq!(expected.values().map(|(total, ..)| total).sum::<i64>(), 4, "{expected:?}");
    assert_eq!(items(&engine, "executions", "runbook", ["total", "successful", "failed"]), expected);
    let sql =
        "SELECT runbook_name AS name, total_executions AS one, successful AS two, failed AS three FROM execution_stats";
    assert_eq!(view(&url, sql), expected);

    let rates = items(&engine, "success-rates", "pair", ["total", "successful", "-"]);
    assert_eq!(rates.get("fails web1"), Some(&(2, 0, 0)), "{rates:?}");
    let sql = "SELECT workflow_id || ' ' || target_resource AS name, total_executions AS one, successful AS two, \
               CAST(0 AS bigint) AS three FROM success_rates";
    assert_eq!(view(&url, sql), rates);

    let skips = items(&engine, "skips", "reason", ["count", "-", "-"]);
    assert_eq!(skips.get("cooldown"), Some(&(1, 0, 0)), "{skips:?}");
    let sql = "SELECT skip_reason AS name, skip_count AS one, CAST(0 AS bigint) AS two, CAST(0 AS bigint) AS three \
               FROM skip_reasons";
    assert_eq!(view(&url, sql), skips);

    let funnel = engine.get("/api/v1/stats/funnel");
    let sql = "SELECT verdict AS name, decisions AS one, CAST(0 AS bigint) AS two, CAST(0 AS bigint) AS three \
               FROM decision_funnel";
    assert_eq!(view(&url, sql), counted(&funnel["decisions"]));
    let sql = "SELECT verification AS name, CAST(SUM(executions) AS bigint) AS one, CAST(0 AS bigint) AS two, \
               CAST(0 AS bigint) AS three FROM effectiveness GROUP BY verification";
    assert_eq!(view(&url, sql), counted(&funnel["verifications"]));

    let failures = items(&engine, "failures", "execution_id", ["-", "-", "-"]);
    assert_eq!(failures.len(), 3);
    let sql = "SELECT CAST(id AS text) AS name, CAST(0 AS bigint) AS one, CAST(0 AS bigint) AS two, \
               CAST(0 AS bigint) AS three FROM recent_failures";
    assert_eq!(view(&url, sql), failures);
}

#[test]
fn figures_views_and_records_agree_after_real_runs_on_sqlite() {
    agrees(None);
}

#[test]
fn figures_views_and_records_agree_after_real_runs_on_postgresql() {
    agrees(Some(postgres::database()));
}
