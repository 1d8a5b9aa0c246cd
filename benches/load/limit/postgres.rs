//! PostgreSQL: one connection, one transaction for all that waits, one prepared statement per table whatever the number
//! of rows, sent without waiting for the answers in between; `synchronous_commit=on`.

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::try_join;
use tokio_postgres::{Client, Error, NoTls, Statement};

use super::rows::{AlertRow, DeliveryRow, EpisodeRow, job};
use super::{Job, TOGETHER_MAX, Write};

/// Douse's own tables and indexes.
const TABLES: &str = include_str!("../../../migrations/postgres/2026-11-21-000001_tables/up.sql");

const DELIVERIES: &str = "INSERT INTO deliveries
    SELECT a::uuid, 'main', b::timestamptz, '127.0.0.1', 'application/json', c, d, 'alertmanager_v4', e, f, g, h, i, 0
    FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::int[])
    AS t (a, b, c, d, e, f, g, h, i)";
const EPISODES: &str = "INSERT INTO episodes
    SELECT a::uuid, 'main', b, 1, 'open', c::timestamptz, c::timestamptz, c::timestamptz, NULL, false, d::uuid, e, f, g,
        'undecided', h::timestamptz, h::timestamptz
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    AS t (a, b, c, d, e, f, g, h)";
const ALERTS: &str = "INSERT INTO alerts
    SELECT a::uuid, b::uuid, c, 'main', d, e::timestamptz, f, g, h, i, 'firing', j::timestamptz, NULL, k, l::jsonb, m::jsonb,
        false, n::jsonb, o::jsonb, p, q::uuid, 'new', NULL, NULL
    FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[])
    AS t (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q)";
const SEEN: &str = "INSERT INTO sources VALUES ('main', now(), now(), $1)
    ON CONFLICT (name) DO UPDATE SET last_delivery_at = now(), deliveries = sources.deliveries + $1";
const DONE: &str = "UPDATE episodes SET decide_state = 'decided' WHERE id = ANY ($1::text[]::uuid[])";

struct Statements {
    deliveries: Statement,
    episodes: Statement,
    alerts: Statement,
    seen: Statement,
    done: Statement,
}

/// Opens the database and starts the writer; answers what an earlier process left undone.
pub async fn start(url: &str, writes: UnboundedReceiver<Write>) -> Vec<Job> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let is_new = client.query_one("SELECT to_regclass('deliveries') IS NULL", &[]).await.unwrap().get(0);
    if is_new {
        client.batch_execute(TABLES).await.unwrap();
    }
    let undone =
        "SELECT e.id::text, e.instance, a.labels_json::text FROM episodes e JOIN alerts a ON a.episode_id = e.id
        WHERE e.decide_state = 'undecided'";
    let undone = client.query(undone, &[]).await.unwrap();
    let prepare = async |sql| client.prepare(sql).await.unwrap();
    let statements = Statements {
        deliveries: prepare(DELIVERIES).await,
        episodes: prepare(EPISODES).await,
        alerts: prepare(ALERTS).await,
        seen: prepare(SEEN).await,
        done: prepare(DONE).await,
    };
    // A thread of its own: the connection's task is woken there and here, and the handlers have two already.
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work(client, statements, writes));
    });
    undone.iter().map(|row| job(row.get(0), row.get(1), row.get(2))).collect()
}

async fn work(client: Client, statements: Statements, mut writes: UnboundedReceiver<Write>) {
    let mut batch = Vec::with_capacity(TOGETHER_MAX);
    while writes.recv_many(&mut batch, TOGETHER_MAX).await > 0 {
        let (mut stored, mut answers, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for write in batch.drain(..) {
            match write {
                Write::Store(rows, answer) => {
                    stored.push(rows);
                    answers.push(answer);
                }
                Write::Done(episode) => done.push(episode),
            }
        }
        let deliveries: Vec<&DeliveryRow> = stored.iter().map(|rows| &rows.delivery).collect();
        let episodes: Vec<&EpisodeRow> = stored.iter().flat_map(|rows| &rows.episodes).collect();
        let alerts: Vec<&AlertRow> = stored.iter().flat_map(|rows| &rows.alerts).collect();
        let seen = i64::try_from(stored.len()).unwrap();
        // In this order on the wire; a failure of one fails the commit.
        let written = try_join!(
            client.batch_execute("BEGIN"),
            insert_deliveries(&client, &statements.deliveries, &deliveries),
            insert_episodes(&client, &statements.episodes, &episodes),
            insert_alerts(&client, &statements.alerts, &alerts),
            async { if seen > 0 { client.execute(&statements.seen, &[&seen]).await } else { Ok(0) } },
            async { if done.is_empty() { Ok(0) } else { client.execute(&statements.done, &[&done]).await } },
            client.batch_execute("COMMIT"),
        );
        written.unwrap();
        for answer in answers {
            let _gone = answer.send(());
        }
    }
}

/// One field of all rows.
fn column<'a, R, T>(rows: &[&'a R], field: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().copied().map(field).collect()
}

async fn insert_deliveries(client: &Client, statement: &Statement, rows: &[&DeliveryRow]) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (id, at) = (column(rows, |row| &row.id), column(rows, |row| &row.received_at));
    let (body, hash) = (column(rows, |row| &row.body), column(rows, |row| &row.body_sha256));
    let (receiver, key) = (column(rows, |row| &row.receiver), column(rows, |row| &row.group_key));
    let (url, cut) = (column(rows, |row| &row.external_url), column(rows, |row| row.truncated_alerts));
    let count = column(rows, |row| row.alert_count);
    client.execute(statement, &[&id, &at, &body, &hash, &receiver, &key, &url, &cut, &count]).await
}

async fn insert_episodes(client: &Client, statement: &Statement, rows: &[&EpisodeRow]) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (id, fingerprint) = (column(rows, |row| &row.id), column(rows, |row| &row.fingerprint));
    let (starts, alert) = (column(rows, |row| &row.earliest_starts_at), column(rows, |row| &row.alert_id));
    let (name, severity) = (column(rows, |row| &row.alert_name), column(rows, |row| &row.severity));
    let (instance, at) = (column(rows, |row| &row.instance), column(rows, |row| &row.created_at));
    client.execute(statement, &[&id, &fingerprint, &starts, &alert, &name, &severity, &instance, &at]).await
}

async fn insert_alerts(client: &Client, statement: &Statement, rows: &[&AlertRow]) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (id, delivery) = (column(rows, |row| &row.id), column(rows, |row| &row.delivery_id));
    let (position, fingerprint) = (column(rows, |row| row.position), column(rows, |row| &row.fingerprint));
    let (at, name) = (column(rows, |row| &row.received_at), column(rows, |row| &row.alert_name));
    let (severity, instance) = (column(rows, |row| &row.severity), column(rows, |row| &row.instance));
    let (job, starts) = (column(rows, |row| &row.job), column(rows, |row| &row.starts_at));
    let (url, labels) = (column(rows, |row| &row.generator_url), column(rows, |row| &row.labels_json));
    let (notes, raw) = (column(rows, |row| &row.annotations_json), column(rows, |row| &row.raw_alert_json));
    let (group, hash) = (column(rows, |row| &row.group_json), column(rows, |row| &row.identity_hash));
    let episode = column(rows, |row| &row.episode_id);
    let values: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[
        &id,
        &delivery,
        &position,
        &fingerprint,
        &at,
        &name,
        &severity,
        &instance,
        &job,
        &starts,
        &url,
        &labels,
        &notes,
        &raw,
        &group,
        &hash,
        &episode,
    ];
    client.execute(statement, values).await
}
