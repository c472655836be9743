use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use swarm_common::errors::chain;
use swarm_core::rows::{DroneRow, EventRow, MetaKey, MetaRow, StatsRow};
use swarm_core::table::{Row, Sink, Source};
use swarm_protocol::StoreId;

use super::migrate::{Migration, copy_path};
use super::{OpenError, ReadError, Retention, Store};

fn event(seq: u64) -> EventRow {
    EventRow { seq, at: seq * 10, kind: "assign".into(), message: format!("event {seq}"), ..EventRow::default() }
}

fn write_events(store: &Store, numbers: impl Iterator<Item = u64>) {
    let mut writer = store.writer();
    for seq in numbers {
        writer.put(&event(seq));
    }
    writer.commit().unwrap();
}

fn seqs(rows: &[EventRow]) -> Vec<u64> {
    rows.iter().map(|row| row.seq).collect()
}

#[test]
fn what_is_committed_comes_back_after_a_reopen_and_what_is_removed_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let meta = MetaRow { store_id: StoreId::from("s1"), clock: 77, last_build: 3, ..MetaRow::default() };
    let stats = |drone: &str| StatsRow { drone: drone.into(), total: 2, success: 1, duration_ms: 5 };
    {
        let store = Store::open(&path).unwrap();
        let mut writer = store.writer();
        writer.put(&meta);
        writer.put(&stats("b"));
        writer.put(&stats("a"));
        writer.put(&stats("gone"));
        writer.commit().unwrap();
        let mut writer = store.writer();
        writer.delete(StatsRow::TABLE, b"gone");
        writer.commit().unwrap();
    }
    let read = Store::open(&path).unwrap().read().unwrap();
    assert_eq!(read.get::<MetaRow>(&MetaKey).unwrap(), Some(meta));
    assert_eq!(read.rows::<StatsRow>().unwrap(), vec![stats("a"), stats("b")]);
    assert_eq!(read.get::<StatsRow>(&"gone".to_owned()).unwrap(), None);
    assert_eq!(read.rows::<DroneRow>().unwrap(), Vec::new(), "a table nobody wrote to is empty, not an error");
    assert_eq!(read.count(StatsRow::TABLE).unwrap(), 2);
}

#[test]
fn a_writer_that_is_dropped_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.redb")).unwrap();
    let mut writer = store.writer();
    writer.put(&event(1));
    drop(writer);
    assert_eq!(store.read().unwrap().count(EventRow::TABLE).unwrap(), 0);
}

#[test]
fn a_snapshot_shows_one_moment_and_is_had_while_a_commit_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.redb")).unwrap();
    write_events(&store, 1..=3);
    let before = store.read().unwrap();
    // A write transaction that is held open stands for a commit that waits for its fsync.
    let held = store.database.begin_write().unwrap();
    let during = store.read().unwrap();
    assert_eq!(during.count(EventRow::TABLE).unwrap(), 3);
    held.abort().unwrap();
    write_events(&store, 4..=4);
    assert_eq!(before.count(EventRow::TABLE).unwrap(), 3);
    assert_eq!(store.read().unwrap().count(EventRow::TABLE).unwrap(), 4);
}

#[test]
fn a_journal_is_read_from_either_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.redb")).unwrap();
    // Beyond one byte, so that the order of the bytes is the order of the numbers.
    write_events(&store, 250..=260);
    let read = store.read().unwrap();
    assert_eq!(seqs(&read.after(0, 3).unwrap()), [250, 251, 252]);
    assert_eq!(seqs(&read.after(254, 3).unwrap()), [255, 256, 257]);
    assert_eq!(seqs(&read.after(260, 3).unwrap()), [] as [u64; 0]);
    assert_eq!(seqs(&read.after(u64::MAX, 3).unwrap()), [] as [u64; 0]);
    assert_eq!(seqs(&read.newest(None, 2).unwrap()), [260, 259]);
    assert_eq!(seqs(&read.newest(Some(257), 2).unwrap()), [256, 255]);
    assert_eq!(seqs(&read.newest(Some(0), 2).unwrap()), [] as [u64; 0]);
    assert_eq!(read.get::<EventRow>(&255).unwrap(), Some(event(255)));
}

#[test]
fn forgotten_rows_are_invisible_at_once_and_removed_in_bounded_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let store = Store::open(&path).unwrap();
    write_events(&store, 1..=100);
    let retention = Retention { table: EventRow::TABLE, floor: 90 };
    let mut writer = store.writer();
    writer.forget(retention);
    writer.forget(Retention { floor: 10, ..retention });
    writer.remove_forgotten(retention, 20);
    assert_eq!(writer.commit().unwrap(), 20);
    let check = |store: &Store| {
        let read = store.read().unwrap();
        assert_eq!(seqs(&read.after(0, 2).unwrap()), [91, 92]);
        assert_eq!(read.newest::<EventRow>(None, 1000).unwrap().len(), 10);
        assert_eq!(read.newest::<EventRow>(Some(50), 1000).unwrap().len(), 0);
        assert_eq!(read.get::<EventRow>(&90).unwrap(), None);
        assert_eq!(read.count(EventRow::TABLE).unwrap(), 10);
    };
    check(&store);
    drop(store);
    let store = Store::open(&path).unwrap();
    check(&store);
    let mut removed = Vec::new();
    loop {
        let mut writer = store.writer();
        writer.remove_forgotten(retention, 30);
        match writer.commit().unwrap() {
            0 => break,
            some => removed.push(some),
        }
    }
    assert_eq!(removed, [30, 30, 10]);
    check(&store);
}

#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let _store = Store::open(&path).unwrap();
    assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_second_opening_is_refused_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let _first = Store::open(&path).unwrap();
    let error = Store::open(&path).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("state.redb is open in another process"), "{error}");
}

#[test]
fn what_is_not_a_store_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    fs_err::write(&path, "this is no database, it is a text that is long enough to be looked at".repeat(200)).unwrap();
    let error = Store::open(&path).err().unwrap();
    assert!(error.to_string().contains("state.redb"), "{error}");
}

#[test]
fn a_newer_file_is_refused_with_the_version_needed_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    drop(Store::open_with(&path, &[], 9).unwrap());
    let error = Store::open(&path).err().unwrap();
    assert!(matches!(error, OpenError::Newer { found: 9, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("start a controller that knows version 9"), "{error}");
    drop(Store::open_with(&path, &[], 9).unwrap());
}

#[test]
fn a_damaged_row_names_its_table_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.redb")).unwrap();
    write_events(&store, 1..=3);
    for (value, why) in [
        (&[1u8, 0xc1, 0xff][..], "the value does not decode"),
        (&[][..], "the value is empty"),
        (&[2u8, 0x80][..], "the value has version 2, this program reads version 1"),
    ] {
        let write = store.database.begin_write().unwrap();
        write
            .open_table(super::schema::table(EventRow::TABLE))
            .unwrap()
            .insert(&2u64.to_be_bytes()[..], value)
            .unwrap();
        write.commit().unwrap();
        let read = store.read().unwrap();
        for error in [
            read.rows::<EventRow>().unwrap_err(),
            read.get::<EventRow>(&2).unwrap_err(),
            read.after::<EventRow>(0, 10).unwrap_err(),
        ] {
            assert!(matches!(error, ReadError::Row { .. }));
            let text = chain(&error);
            assert!(text.starts_with("row 2 of table events cannot be read"), "{text}");
            assert!(text.contains(why), "{text}");
        }
        assert_eq!(seqs(&read.after(2, 10).unwrap()), [3], "the others stay readable");
    }
}

const SEEN: TableDefinition<'static, &'static str, u64> = TableDefinition::new("seen_by_migration");

fn note(write: &redb::WriteTransaction) -> Result<(), redb::Error> {
    let mut table = write.open_table(SEEN)?;
    let sum = table.get("sum")?.map_or(0, |value| value.value());
    table.insert("sum", sum * 10 + 1)?;
    Ok(())
}

fn double(write: &redb::WriteTransaction) -> Result<(), redb::Error> {
    let mut table = write.open_table(SEEN)?;
    let sum = table.get("sum")?.map_or(0, |value| value.value());
    table.insert("sum", sum * 2)?;
    Ok(())
}

fn fail(write: &redb::WriteTransaction) -> Result<(), redb::Error> {
    note(write)?;
    Err(redb::Error::Corrupted("as the test wants it".into()))
}

fn sum(path: &Path) -> Option<u64> {
    let database = Database::open(path).unwrap();
    let read = database.begin_read().unwrap();
    let table = read.open_table(SEEN).ok()?;
    table.get("sum").unwrap().map(|value| value.value())
}

#[test]
fn an_older_file_is_copied_and_brought_forward_step_by_step_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let store = Store::open(&path).unwrap();
    write_events(&store, 1..=1);
    drop(store);
    let steps = [
        Migration { to: 3, what: "double the sum", run: double },
        Migration { to: 2, what: "note that it ran", run: note },
    ];
    for _ in 0..2 {
        drop(Store::open_with(&path, &steps, 3).unwrap());
        assert_eq!(sum(&path), Some(2), "first 2, then 3, each once");
    }
    let copy = copy_path(&path, 1);
    assert_eq!(sum(&copy), None, "the copy is from before");
    let old = Store::open(&copy).unwrap();
    assert_eq!(old.read().unwrap().count(EventRow::TABLE).unwrap(), 1);
}

#[test]
fn a_migration_that_fails_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    drop(Store::open(&path).unwrap());
    let steps =
        [Migration { to: 2, what: "note that it ran", run: note }, Migration { to: 3, what: "break", run: fail }];
    let error = Store::open_with(&path, &steps, 3).err().unwrap();
    assert!(chain(&error).contains("migrate the store to schema version 3 (break)"), "{}", chain(&error));
    let error = Store::open_with(&path, &steps, 4).err().unwrap();
    assert!(chain(&error).contains("(break)"), "{}", chain(&error));
    assert_eq!(sum(&path), None);
    drop(Store::open(&path).unwrap());
    let error = Store::open_with(&path, &[], 2).err().unwrap();
    assert!(chain(&error).contains("no migration leads to schema version 2"), "{}", chain(&error));
}

const CHILD: &str = "SWARM_TEST_STORE_TO_KILL";

/// The process that is killed: commits without end and says on standard output what is acknowledged.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = Store::open(Path::new(&path)).unwrap();
    let from = store.read().unwrap().newest::<EventRow>(None, 1).unwrap().first().map_or(0, |row| row.seq);
    // Far more than a round lasts; a child whose parent is gone ends here or on its closed pipe.
    for batch in 0..100_000 {
        let first = from + 1 + batch * 5;
        write_events(&store, first..first + 5);
        println!("acknowledged {}", first + 4);
    }
}

#[test]
fn a_kill_in_the_middle_of_commits_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let mut acknowledged = 0;
    for round in 0..5u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child_that_commits_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        let killer = std::thread::spawn({
            let id = nix::unistd::Pid::from_raw(child.id().cast_signed());
            // The moment differs by round; the loop below takes what was said before it.
            move || {
                std::thread::sleep(Duration::from_millis(150 + 37 * round));
                nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL)
            }
        });
        while let Some(Ok(line)) = lines.next() {
            if let Some((_, number)) = line.split_once("acknowledged ") {
                acknowledged = number.trim().parse::<u64>().unwrap();
                heard += 1;
            }
        }
        killer.join().unwrap().unwrap();
        child.wait().unwrap();
        assert!(heard > 0, "round {round} acknowledged nothing before the kill");
        let store = Store::open(&path).unwrap();
        let rows = store.read().unwrap().after::<EventRow>(0, usize::MAX).unwrap();
        let last = rows.last().unwrap().seq;
        assert!(last >= acknowledged, "round {round}: {acknowledged} was acknowledged, {last} is the last on disk");
        assert_eq!(last % 5, 0, "round {round}: a transaction is there whole or not at all");
        assert!(rows.iter().zip(1..).all(|(row, seq)| *row == event(seq)), "round {round}: a row is missing");
    }
}
