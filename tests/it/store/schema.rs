//! Both engines have the same tables, and `schema.rs` says what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text};
use douse::alert::AlertStatus;
use douse::alert::episode::EpisodeState;
use douse::audit::EventKind;
use douse::execution::{Origin, Phase, RollbackState, Status, StepStatus, Verification};
use douse::inventory::server::WinrmTransport;
use douse::rights::Role;
use douse::runbook::model::{Mode, OsType, RunbookStatus};
use douse::store::*;
use regex::Regex;

use super::harness::{self, Fixture, on_both_engines};
use super::samples::now;

#[derive(QueryableByName, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Column {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Bool)]
    nullable: bool,
}

#[derive(QueryableByName, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Index {
    #[diesel(sql_type = Text)]
    table_name: String,
    /// Empty for a primary key, whose name is the engine's.
    #[diesel(sql_type = Text)]
    index_name: String,
    #[diesel(sql_type = Bool)]
    is_unique: bool,
    #[diesel(sql_type = Text)]
    columns: String,
    #[diesel(sql_type = Nullable<Text>)]
    condition: Option<String>,
}

#[derive(QueryableByName, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Named {
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Text)]
    name: String,
}

async fn ask<T>(fixture: &Fixture, sqlite: &'static str, postgres: &'static str) -> Vec<T>
where
    T: QueryableByName<diesel::sqlite::Sqlite> + QueryableByName<diesel::pg::Pg> + Send + 'static,
{
    let rows = fixture.store.read(move |db| {
        Ok(match db {
            Db::Sqlite(c) => diesel::sql_query(sqlite).load::<T>(c)?,
            Db::Pg(c) => diesel::sql_query(postgres).load::<T>(c)?,
        })
    });
    rows.await.unwrap()
}

async fn columns(fixture: &Fixture) -> Vec<Column> {
    ask(
        fixture,
        "SELECT t.name AS table_name, c.name AS column_name, c.type AS kind, c.\"notnull\" = 0 AND c.pk = 0 AS nullable \
         FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' \
         AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\' ORDER BY t.name, c.cid",
        "SELECT table_name::text, column_name::text, udt_name::text AS kind, is_nullable = 'YES' AS nullable \
         FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) \
         WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name NOT LIKE '\\_\\_%' \
         ORDER BY table_name COLLATE \"C\", ordinal_position",
    )
    .await
}

async fn indexes(fixture: &Fixture) -> BTreeSet<Index> {
    let rows: Vec<Index> = ask(
        fixture,
        "SELECT t.name AS table_name, CASE i.origin WHEN 'pk' THEN '' ELSE i.name END AS index_name, \
         i.\"unique\" = 1 AS is_unique, (SELECT group_concat(x.name, ' ') FROM pragma_index_info(i.name) x) AS columns, \
         (SELECT CASE WHEN i.partial THEN substr(m.sql, instr(m.sql, ' WHERE ') + 7) END FROM sqlite_master m \
          WHERE m.name = i.name) AS condition \
         FROM sqlite_master t, pragma_index_list(t.name) i WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' \
         AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\'",
        "SELECT t.relname::text AS table_name, CASE WHEN x.indisprimary THEN '' ELSE i.relname::text END AS index_name, \
         x.indisunique AS is_unique, pg_get_expr(x.indpred, x.indrelid) AS condition, \
         (SELECT string_agg(a.attname::text, ' ' ORDER BY k.n) FROM unnest(x.indkey::int[]) WITH ORDINALITY k(att, n) \
          JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.att) AS columns \
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid \
         JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = 'public' AND t.relname NOT LIKE '\\_\\_%'",
    )
    .await;
    let plain = |text: String| text.replace("::text", "").replace(['(', ')'], "");
    rows.into_iter().map(|row| Index { condition: row.condition.map(plain), ..row }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_tables_columns_and_nullability() {
    let (sqlite, postgres) = (harness::sqlite().await, harness::postgres().await);
    let shape = |rows: Vec<Column>| -> Vec<(String, String, bool)> {
        rows.into_iter().map(|row| (row.table_name, row.column_name, row.nullable)).collect()
    };
    let (one, two) = (shape(columns(&sqlite).await), shape(columns(&postgres).await));
    assert!(one.len() > 300, "{}", one.len());
    assert_eq!(one, two);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_indexes() {
    let (sqlite, postgres) = (harness::sqlite().await, harness::postgres().await);
    let (mut one, mut two) = (indexes(&sqlite).await, indexes(&postgres).await);
    // The keys of the audit log and of its chain are SQLite's row ids, which have no index of their own.
    let has_none = |index: &Index| {
        [("audit_events", "seq"), ("audit_links", "position")]
            .contains(&(index.table_name.as_str(), index.columns.as_str()))
            && index.index_name.is_empty()
    };
    one.retain(|index| !has_none(index));
    two.retain(|index| !has_none(index));
    // PostgreSQL's B-tree takes no key longer than 2,704 bytes, which a hostile alert name may be: it has a hash index,
    // which has one column.
    let two = two.into_iter().map(|mut index| {
        if index.index_name == "alerts_alert_name_id" {
            assert_eq!(index.columns, "alert_name");
            index.columns = "alert_name id".to_owned();
        }
        index
    });
    let two = two.collect();
    assert!(one.len() > 60, "{}", one.len());
    assert_eq!(one, two);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_foreign_keys() {
    let (sqlite, postgres) = (harness::sqlite().await, harness::postgres().await);
    let (lite, pg) = (
        "SELECT t.name || '.' || f.\"from\" AS owner, f.\"table\" AS name FROM sqlite_master t, \
         pragma_foreign_key_list(t.name) f WHERE t.type = 'table'",
        "SELECT c.conrelid::regclass::text || '.' || a.attname AS owner, c.confrelid::regclass::text AS name \
         FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] \
         WHERE c.contype = 'f'",
    );
    let one: BTreeSet<Named> = ask(&sqlite, lite, pg).await.into_iter().collect();
    let two: BTreeSet<Named> = ask(&postgres, lite, pg).await.into_iter().collect();
    assert!(one.len() > 15, "{}", one.len());
    assert_eq!(one, two);
}

/// `table -> [(column, type, nullable)]` of `src/store/schema`.
fn declared() -> BTreeMap<String, Vec<(String, String, bool)>> {
    let mut tables = BTreeMap::new();
    let table = Regex::new(r"^ {4}(\w+) \(").unwrap();
    let column = Regex::new(r"^ {8}(\w+) -> (Nullable<)?(\w+)>?,").unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/schema");
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut name = String::new();
        for line in text.lines() {
            if let Some(found) = table.captures(line) {
                name = found[1].to_owned();
                tables.insert(name.clone(), Vec::new());
            } else if let Some(found) = column.captures(line) {
                let row = (found[1].to_owned(), found[3].to_owned(), found.get(2).is_some());
                tables.get_mut(&name).unwrap().push(row);
            }
        }
    }
    tables
}

on_both_engines! {
    async fn schema_rs_is_what_the_migrations_make(fixture: Fixture) {
        let kind = |declared: &str| match (fixture.store.engine(), declared) {
            ("sqlite", "SqlId" | "SqlTs" | "SqlJson" | "Text") => "TEXT",
            ("sqlite", "Integer" | "BigInt" | "Bool") => "INTEGER",
            ("sqlite", "Binary") => "BLOB",
            (_, "SqlId") => "uuid",
            (_, "SqlTs") => "timestamptz",
            (_, "SqlJson") => "jsonb",
            (_, "Text") => "text",
            (_, "Integer") => "int4",
            (_, "BigInt") => "int8",
            (_, "Bool") => "bool",
            (_, "Binary") => "bytea",
            other => panic!("unknown type {other:?}"),
        };
        let declared = declared();
        let mut found: BTreeMap<String, Vec<(String, String, bool)>> = BTreeMap::new();
        for row in columns(&fixture).await {
            found.entry(row.table_name).or_default().push((row.column_name, row.kind, row.nullable));
        }
        assert_eq!(declared.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
        for (table, columns) in declared {
            let columns: Vec<_> = columns.into_iter().map(|(name, ty, null)| (name, kind(&ty).to_owned(), null)).collect();
            assert_eq!(columns, found[&table], "{table}");
        }
    }

    async fn taking_all_tables_away_and_making_them_anew_gives_the_same(fixture: Fixture) {
        let before = (columns(&fixture).await, indexes(&fixture).await);
        fixture.store.write(|db| sources::seen(db, "main", 1, now())).await.unwrap();
        fixture.store.rebuild().await.unwrap();
        assert_eq!(before, (columns(&fixture).await, indexes(&fixture).await));
        assert!(fixture.store.read(sources::list).await.unwrap().is_empty());
    }

    async fn every_check_allows_exactly_the_words_of_its_enum(fixture: Fixture) {
        let rows: Vec<Named> = ask(
            &fixture,
            "SELECT name AS owner, sql AS name FROM sqlite_master WHERE type = 'table'",
            "SELECT conrelid::regclass::text AS owner, pg_get_constraintdef(oid) AS name FROM pg_constraint \
             WHERE contype = 'c'",
        )
        .await;
        let of_sqlite = Regex::new(r"(?s)CHECK \((\w+) IN \(\s*('[^)]*)\)\)").unwrap();
        let of_pg = Regex::new(r"^CHECK \(\((\w+) = ANY \(ARRAY\[(.*)\]\)\)\)$").unwrap();
        let word = Regex::new(r"'([^']*)'").unwrap();
        let mut found = BTreeMap::new();
        for row in rows {
            let by = if fixture.store.engine() == "sqlite" { &of_sqlite } else { &of_pg };
            for check in by.captures_iter(&row.name) {
                let words: BTreeSet<String> = word.captures_iter(&check[2]).map(|word| word[1].to_owned()).collect();
                found.insert(format!("{}.{}", row.owner, &check[1]), words);
            }
        }
        // SQLite cannot change a CHECK: these words stand in a table, and a trigger asks it.
        let known: Vec<Named> = ask(
            &fixture,
            "SELECT '' AS owner, event_type AS name FROM audit_event_types",
            "SELECT '' AS owner, event_type AS name FROM audit_event_types",
        )
        .await;
        found.insert("audit_events.event_type".to_owned(), known.into_iter().map(|word| word.name).collect());
        assert_eq!(found, words());
    }
}

fn words() -> BTreeMap<String, BTreeSet<String>> {
    let mut words = BTreeMap::new();
    macro_rules! of {
        ($($column:literal: $ty:ident),+ $(,)?) => { $(
            words.insert($column.to_owned(), $ty::ALL.iter().map(|word| word.as_str().to_owned()).collect());
        )+ };
    }
    of!(
        "alerts.episode_relation": EpisodeRelation,
        "alerts.status": AlertStatus,
        "api_tokens.role": Role,
        "approval_batches.state": BatchState,
        "attempts.ending": AttemptEnding,
        "attempts.hold": AttemptHold,
        "audit_events.event_type": EventKind,
        "blackouts.effect": BlackoutEffect,
        "blackouts.recurrence": Recurrence,
        "circuit_breakers.state": CircuitState,
        "decisions.verdict": DecisionVerdict,
        "deliveries.format": DeliveryFormat,
        "episodes.decide_state": DecideState,
        "episodes.state": EpisodeState,
        "execution_details.on_resolved": OnResolved,
        "executions.mode": Mode,
        "executions.origin": Origin,
        "executions.phase": Phase,
        "executions.rollback": RollbackState,
        "executions.status": Status,
        "executions.verification": Verification,
        "legal_holds.scope": HoldScope,
        "outputs.stream": Stream,
        "pauses.scope": PauseScope,
        "runbooks.mode": Mode,
        "runbooks.status": RunbookStatus,
        "runbooks.status_override": RunbookOverride,
        "server_credentials.winrm_transport": WinrmTransport,
        "servers.auth_type": AuthType,
        "servers.last_connection_status": ConnectionStatus,
        "servers.origin": ServerOrigin,
        "servers.os_type": OsType,
        "sessions.kind": SessionKind,
        "steps.phase": Phase,
        "steps.status": StepStatus,
        "target_locks.reason": LockReason,
        "users.role": Role,
    );
    words
}

#[test]
fn both_engines_have_migrations_of_the_same_names() {
    let names = |engine: &str| -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("sqlite"), names("postgres"));
    assert!(!names("sqlite").is_empty());
}
