//! Everything that can be done to one row of a chain of 500 is found, and named, whichever row it is.

use douse::audit::verify::FaultKind;

use super::world::World;
use crate::store::harness::on_both_engines;

const COUNT: i64 = 500;

/// The columns of an event, each with another value for it.
const EDITS: &[(&str, &str)] = &[
    ("actor", "'eve'"),
    ("resource_type", "'server'"),
    ("resource_id", "'another'"),
    ("event_type", "'RESUMED'"),
    ("ip_address", "'10.9.9.9'"),
    ("ip_address", "NULL"),
    ("created_at", "'2020-01-01T00:00:00.000000Z'"),
    ("policy_version", "'p2'"),
    ("payload_json", "'{\"reason\":\"none\"}'"),
    ("payload_hash", "'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'"),
    ("execution_id", "'0198c1d2-0000-7000-8000-000000000001'"),
    ("id", "'0198c1d2-0000-7000-8000-000000000002'"),
    ("mac", "'0000000000000000000000000000000000000000000000000000000000000000'"),
];

/// What makes an event's MAC weaker, or none.
const DOWNGRADES: &[&str] =
    &["algorithm = 'none'", "algorithm = 'sha256'", "algorithm = NULL, key_id = NULL, mac = NULL", "key_id = '1'"];

/// The same of a link's.
const OF_LINKS: &[&str] = &["algorithm = 'none'", "key_id = 'other'", "mac = ''"];

/// An event's columns but its number, for putting back what was changed.
const COLUMNS: &str = "id, event_type, actor, resource_type, resource_id, execution_id, episode_id, ip_address, created_at, \
                       policy_version, payload_json, payload_hash, algorithm, key_id, mac";

impl World {
    /// Keeps a copy of everything.
    async fn keep(&self) {
        self.sql("CREATE TABLE kept_events AS SELECT * FROM audit_events; CREATE TABLE kept_links AS SELECT * FROM audit_links;")
            .await;
    }

    /// Puts an event and its link back as they were.
    async fn put_back(&self, position: i64) {
        self.sql(format!(
            "DELETE FROM audit_events WHERE seq = (SELECT seq FROM kept_links WHERE position = {position}); \
             DELETE FROM audit_links WHERE position = {position}; \
             INSERT INTO audit_events (seq, {COLUMNS}) SELECT seq, {COLUMNS} FROM kept_events \
             WHERE seq = (SELECT seq FROM kept_links WHERE position = {position}); \
             INSERT INTO audit_links SELECT * FROM kept_links WHERE position = {position};"
        ))
        .await;
    }

    /// The walk stops at `position`, for one of these reasons.
    async fn is_found(&self, what: &str, position: i64, kinds: &[FaultKind]) {
        let report = self.verify_from(position).await;
        let fault = report.fault.unwrap_or_else(|| panic!("{what} at place {position} was not found"));
        assert!(!report.is_valid && kinds.contains(&fault.kind), "{what} at place {position}: {fault:?}");
        assert_eq!(fault.position, Some(position), "{what}: {fault:?}");
    }
}

on_both_engines! {
    async fn a_chain_that_nobody_touched_is_whole(fixture: Fixture) {
        let world = World::new(fixture, 500).await;
        let report = world.verify(&[world.anchor().await]).await;
        assert!(report.is_valid, "{report:?}");
        assert_eq!((report.events, report.chained, report.waiting, report.anchors), (COUNT, COUNT, 0, 1));
        world.write(7).await;
        let report = world.verify(&[]).await;
        assert_eq!((report.is_valid, report.events, report.waiting), (true, COUNT + 7, 7), "{report:?}");
        assert_eq!(world.link(1).await.unwrap().position, 1);
    }

    async fn every_edit_of_every_event_is_found(fixture: Fixture) {
        let world = World::new(fixture, 500).await;
        world.unguard().await;
        world.keep().await;
        for position in 1..=COUNT {
            // Each row another column, so that each column meets many rows; the first and last rows meet all.
            let edits: Vec<usize> = match position {
                1 | COUNT => (0..EDITS.len()).collect(),
                n => vec![usize::try_from(n).unwrap() % EDITS.len()],
            };
            for edit in edits {
                let (column, value) = EDITS[edit];
                let seq = world.link(position).await.unwrap().seq;
                world.sql(format!("UPDATE audit_events SET {column} = {value} WHERE seq = {seq} AND ({column} IS NULL OR CAST({column} AS text) <> COALESCE({value}, ''))")).await;
                let report = world.verify_from(position).await;
                if value == "NULL" && report.is_valid {
                    continue;
                }
                world.is_found(column, position, &[FaultKind::Edited, FaultKind::Moved]).await;
                world.put_back(position).await;
            }
        }
        assert!(world.verify(&[]).await.is_valid);
    }

    async fn every_deletion_is_found(fixture: Fixture) {
        let world = World::new(fixture, 500).await;
        world.unguard().await;
        world.keep().await;
        for position in 1..=COUNT {
            let seq = world.link(position).await.unwrap().seq;
            world.sql(format!("DELETE FROM audit_events WHERE seq = {seq}")).await;
            world.is_found("a deletion", position, &[FaultKind::Deleted]).await;
            // With its link: what is left has a gap. The very last one is a cut end, which only an anchor finds.
            if position < COUNT && position % 7 == 1 {
                world.sql(format!("DELETE FROM audit_links WHERE position = {position}")).await;
                world.is_found("a deletion with its link", position, &[FaultKind::Cut]).await;
                // The gap closed up: the next link is not the one that was made for this place.
                world.sql(format!("UPDATE audit_links SET position = {position} WHERE position = {}", position + 1)).await;
                world.is_found("a deletion, closed up", position, &[FaultKind::Moved]).await;
                world.sql(format!("UPDATE audit_links SET position = {} WHERE position = {position}", position + 1)).await;
            }
            world.put_back(position).await;
        }
        assert!(world.verify(&[]).await.is_valid);
    }

    async fn every_exchange_of_two_events_is_found(fixture: Fixture) {
        let world = World::new(fixture, 500).await;
        world.unguard().await;
        for position in 1..COUNT {
            let (one, two) = (world.link(position).await.unwrap().seq, world.link(position + 1).await.unwrap().seq);
            let exchange = |table: &str, column: &str, a: i64, b: i64| {
                format!(
                    "UPDATE {table} SET {column} = -1 WHERE {column} = {a}; UPDATE {table} SET {column} = {a} WHERE {column} = {b}; \
                     UPDATE {table} SET {column} = {b} WHERE {column} = -1;"
                )
            };
            let (events, links) = (exchange("audit_events", "seq", one, two), exchange("audit_links", "position", position, position + 1));
            world.sql(events.as_str()).await;
            world.is_found("an exchange", position, &[FaultKind::Moved]).await;
            if position % 7 != 1 {
                world.sql(events).await;
                continue;
            }
            // The links exchanged, too.
            world.sql(links.as_str()).await;
            world.is_found("an exchange with the links", position, &[FaultKind::Moved]).await;
            world.sql(format!("{links}{events}")).await;
        }
        assert!(world.verify(&[]).await.is_valid);
    }

    async fn every_downgrade_of_the_algorithm_is_found(fixture: Fixture) {
        let world = World::new(fixture, 500).await;
        world.unguard().await;
        world.keep().await;
        for position in 1..=COUNT {
            let seq = world.link(position).await.unwrap().seq;
            // Each row another one; the first and the last rows meet all.
            let some = |count: usize| match position {
                1 | COUNT => (0..count).collect(),
                n => vec![usize::try_from(n).unwrap() % count],
            };
            for set in some(DOWNGRADES.len()).into_iter().map(|n| DOWNGRADES[n]) {
                world.sql(format!("UPDATE audit_events SET {set} WHERE seq = {seq}")).await;
                world.is_found(set, position, &[FaultKind::Edited, FaultKind::Moved, FaultKind::UnknownKey]).await;
                world.put_back(position).await;
            }
            for set in some(OF_LINKS.len()).into_iter().map(|n| OF_LINKS[n]) {
                world.sql(format!("UPDATE audit_links SET {set} WHERE position = {position}")).await;
                world.is_found(set, position, &[FaultKind::Moved, FaultKind::UnknownKey]).await;
                world.put_back(position).await;
            }
        }
        assert!(world.verify(&[]).await.is_valid);
    }

    async fn every_insertion_is_found(fixture: Fixture) {
        let world = World::new(fixture, 500).await;
        world.unguard().await;
        // Numbers between which something can be put.
        world.sql("UPDATE audit_events SET seq = -seq; UPDATE audit_links SET seq = -seq").await;
        let moved = world.verify(&[]).await;
        assert_eq!(moved.fault.unwrap().position, Some(1), "the numbers are part of the chain, too");
        world.sql("UPDATE audit_events SET seq = -seq; UPDATE audit_links SET seq = -seq").await;
        assert!(world.verify(&[]).await.is_valid);
        for n in 1..=50_i64 {
            let (like, seq) = (n * 10, if n == 2 { -7 } else { 10_000 + n });
            // A copy of a true event, its MAC and all; one without a MAC; one with a MAC of nothing.
            for mac in ["mac", "NULL", "'ab'"] {
                let key = if mac == "NULL" { "NULL, NULL" } else { "algorithm, key_id" };
                world
                    .sql(format!(
                        "INSERT INTO audit_events (seq, {COLUMNS}) SELECT {seq}, '0198c1d2-0000-7000-8000-0000000000{n:02}', event_type, actor, \
                         resource_type, resource_id, execution_id, episode_id, ip_address, created_at, policy_version, \
                         payload_json, payload_hash, {key}, {mac} FROM audit_events WHERE seq = {like}"
                    ))
                    .await;
                let report = world.verify_from(COUNT).await;
                let fault = report.fault.expect("an insertion is found");
                assert_eq!((fault.seq, fault.position), (Some(seq), None), "{fault:?}");
                assert!(matches!(fault.kind, FaultKind::Inserted | FaultKind::Edited), "{fault:?}");
                // Whoever gives it a place finds it as well.
                if mac != "NULL" && n == 1 {
                    world.seal().await;
                    let fault = world.verify(&[]).await.fault.expect("an insertion with a place is found");
                    assert_eq!((fault.seq, fault.kind), (Some(seq), FaultKind::Edited), "{fault:?}");
                    world.sql(format!("DELETE FROM audit_links WHERE seq = {seq}")).await;
                }
                world.sql(format!("DELETE FROM audit_events WHERE seq = {seq}")).await;
            }
        }
        assert!(world.verify(&[]).await.is_valid);
    }

    async fn every_cut_end_that_is_older_than_the_last_anchor_is_found(fixture: Fixture) {
        let world = World::new(fixture, 490).await;
        let before = world.anchor().await;
        world.write(10).await;
        world.seal().await;
        let last = world.anchor().await;
        world.unguard().await;
        world.keep().await;
        for kept in [499, 498, 495, 491, 490, 489, 400, 250, 100, 2, 1, 0] {
            world
                .sql(format!(
                    "DELETE FROM audit_events WHERE seq IN (SELECT seq FROM audit_links WHERE position > {kept}); \
                     DELETE FROM audit_links WHERE position > {kept};"
                ))
                .await;
            let fault = world.verify(&[before.clone(), last.clone()]).await.fault.expect("the anchor finds it");
            assert_eq!((fault.kind, fault.position), (FaultKind::Cut, Some(kept + 1)), "{fault:?}");
            // Older than the cut: that anchor knows nothing of what followed.
            assert_eq!(world.verify(std::slice::from_ref(&before)).await.is_valid, kept >= 490);
            world
                .sql(format!(
                    "INSERT INTO audit_events (seq, {COLUMNS}) SELECT seq, {COLUMNS} FROM kept_events WHERE seq IN \
                     (SELECT seq FROM kept_links WHERE position > {kept}); \
                     INSERT INTO audit_links SELECT * FROM kept_links WHERE position > {kept};"
                ))
                .await;
        }
        assert!(world.verify(&[before, last]).await.is_valid);
    }

    async fn a_chain_that_was_cut_and_went_on_does_not_meet_its_anchor(fixture: Fixture) {
        let world = World::new(fixture, 20).await;
        let anchor = world.anchor().await;
        world.unguard().await;
        world
            .sql("DELETE FROM audit_events WHERE seq IN (SELECT seq FROM audit_links WHERE position > 15); DELETE FROM audit_links WHERE position > 15")
            .await;
        world.write(30).await;
        world.seal().await;
        assert!(world.verify(&[]).await.is_valid, "no anchor, no proof");
        let fault = world.verify(&[anchor]).await.fault.unwrap();
        assert_eq!((fault.kind, fault.position), (FaultKind::Moved, Some(20)), "{fault:?}");
    }
}
