//! The laws of grouping: what is masked, what is one group, what stays apart, and what becomes of ids.

use super::*;
use proptest::prelude::*;

/// Id and template of each title's group.
fn grouped(titles: &[String]) -> Vec<(String, String)> {
    let (mut all, mut found) = (Titles::default(), Vec::new());
    titles.iter().for_each(|title| all.add(title));
    let told: Result<(), ()> = all.tell(|id, template| {
        found.push((id.to_owned(), template.to_owned()));
        Ok(())
    });
    assert_eq!(told, Ok(()));
    found
}

/// The groups of titles as lists of positions, in order.
fn groups_of(titles: &[String]) -> Vec<Vec<usize>> {
    let mut found: Vec<(String, Vec<usize>)> = Vec::new();
    for (at, (id, _)) in grouped(titles).into_iter().enumerate() {
        match found.iter_mut().find(|(known, _)| *known == id) {
            Some((_, places)) => places.push(at),
            None => found.push((id, vec![at])),
        }
    }
    found.into_iter().map(|(_, places)| places).collect()
}

fn each(shape: &str, words: &str) -> Vec<String> {
    words.split_whitespace().map(|word| shape.replace("{}", word)).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[track_caller]
fn one(titles: &[String]) {
    assert_eq!(groups_of(titles).len(), 1, "should be one group: {:#?}", grouped(titles));
}

#[track_caller]
fn apart(titles: &[String]) {
    let groups = groups_of(titles);
    assert_eq!(groups.len(), titles.len(), "should stay apart: {:#?}", grouped(titles));
}

#[test]
fn variable_parts_are_masked_by_their_form() {
    for (title, expected) in [
        ("user 'bob' at 10.0.0.1:80 denied", "user <str> at <ip> denied"),
        ("can't open /srv/a b.txt", "can't open <path> b.txt"),
        ("id 550e8400-e29b-41d4-a716-446655440000 0xff12 took 12ms", "id <hex> took <duration>"),
        ("took 1h5m30s at 3.5GB, 20%, -1.5e-3", "took <duration> at <size>, <num>"),
        ("read 12 KB (free 3.5 MB) in 5 seconds, 7 times", "read <size> (free <size>) in <duration>, <num> times"),
        ("key mapred.task.id of www.example.de and mail-1.example.fr", "key mapred.task.id of <host> and <host>"),
        ("KeyError: 'user_5'", "KeyError: <str>"),
        ("req_9 of blk_-160 failed: 503.", "req_<num> of blk_<num> failed: <num>."),
        ("GET https://api.x.com/v1?x=1 failed", "GET <url> failed"),
        ("lost db-1.example.com:5432 and node.js", "lost <host> and node.js"),
        ("java.lang.Error in org.apache.Client at a.b.py", "java.lang.Error in org.apache.Client at a.b.py"),
        ("mail of a.b@example.org in conf/app.yaml:12 of v1.2.3-rc1", "mail of <email> in <path> of <version>"),
        ("at fe80::1:2:3 on eth0", "at <ip> on eth<num>"),
        ("task_14_0001_m_03 is gone", "<id> is gone"),
        ("component \\042alt0\\042 of \\\"x\\\" gone", "component <str> of <str> gone"),
        ("\u{1b}[31mERROR\u{1b}[0m boom", "boom"),
        ("ERROR", "ERROR"),
        ("", ""),
    ] {
        assert_eq!(template(title), expected, "{title}");
    }
}

#[test]
fn a_list_of_masked_words_is_as_one_of_them() {
    one(&lines("removed blk_1 blk_2 blk_3\n removed blk_4\n removed blk_5, blk_6"));
    one(&lines("nodes node-1 0xff ok node-2 0xfe ok are lost\n nodes node-7 0xaa ok are lost"));
    assert_eq!(template("tried again and again and again"), "tried again and again and again");
}

#[test]
fn what_is_quoted_as_what_happened_is_text_and_keys_of_json_stay() {
    for (title, expected) in [
        (
            r#"level=error msg="read timeout of 10.0.0.1" user="bob""#,
            r#"level=error msg="read timeout of <ip>" user=<str>"#,
        ),
        (
            r#"{"level":"error","msg":"bad token 5","user":"bob"}"#,
            r#"{"level":"error","msg":"bad token <num>","user":<str>}"#,
        ),
        (r#"request failed: error: "connection refused""#, r#"request failed: error: "connection refused""#),
        (r#"{"level":50,"time":1700000000123,"msg":"gone"}"#, r#"{"level":<num>,"time":<num>,"msg":"gone"}"#),
        (r#"10.0.0.1 - bob [10/Oct/2025:13:55:36 -0700] "GET /v1/a HTTP/1.1" 504 16"#, r#""GET <path>" <num>"#),
        (r#"state 'Inactive' of 'bob'"#, r#"state 'Inactive' of <str>"#),
        (r#"Domain=x "The request timed out." id=5"#, r#"Domain=x "The request timed out." id=<num>"#),
        (r#"reason: "bob" is no number"#, r#"reason: <str> is no number"#),
    ] {
        assert_eq!(template(title), expected, "{title}");
    }
}

#[test]
fn headers_split_no_group() {
    for header in [
        "Jan  2 03:04:05 h1 app[12]: ",
        "Jan  2 03:04:05 h1 app: ",
        "2025-01-02T03:04:05.123+01:00 h1 app[5]: ",
        "2025-01-02T03:04:05Z ",
        "2025-01-02 03:04:05,123 ERROR ",
        "2025-01-02 03:04:05,123 - app.db - ERROR - ",
        "2025-01-02 03:04:05.123 UTC [99] app@shop ERROR:  ",
        "2015-07-29 17:41:44,747 - WARN  [SendWorker:188:Quorum$Worker[myid=1]@679] - ",
        "2015-10-18 18:01:47,978 INFO [IPC Server handler 19 on 62270] ",
        "2016-09-28 04:30:30, Info                  ",
        "web-1  | 2025-01-02 03:04:05 ERROR: ",
        "web-1  | ERROR: ",
        "[2025-01-02 03:04:05] [error] ",
        "[Thu Jun 09 06:07:04 2005] [error] [client 1.2.3.4] ",
        "2025/01/02 03:04:05 [error] 29#29: ",
        "081109 203615 148 INFO ",
        "17/06/09 20:10:40 INFO ",
        "1700000000.123 ",
        "- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: ",
        "- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 local@dn228 kernel: ",
        "134681 node-246 unix.hw state.change 1077804742 1 ",
        "2025-06-01T10:00:03.5Z  ERROR 1 --- [nio-8080-exec-3] ",
        "2025/01/02 03:04:05 [emerg] 29#29: ",
        "2025-06-01 10:00:03.123 UTC [77] LOG:  ",
        "E0102 03:04:05.123456   12345 server.go:123] ",
        "I, [2025-01-02T03:04:05.123456 #1234]  INFO -- : ",
        "[10.30 16:49:06] ",
        "ERROR [main] ",
        "WARNING: ",
    ] {
        assert_eq!(template(&format!("{header}lost row 5 of x")), "lost row <num> of x", "{header}");
    }
    assert_eq!(template("03-17 16:13:38.811  1702  2395 D WindowManager: lost 5"), "WindowManager: lost <num>");
}

#[test]
fn what_only_looks_like_a_header_stays() {
    for title in [
        "Connection refused: x",
        "error reading x",
        "java.lang.Error: x",
        "worker-a failed badly",
        "Error: x is no function",
        "app@shop ERROR x",
    ] {
        assert_eq!(template(title), title);
    }
    apart(&lines("2025-01-02T03:04:05Z Connection refused: x\n 2025-01-02T03:04:05Z Connection reset: x"));
}

#[test]
fn unlike_failures_stay_apart() {
    for text in [
        "connection refused\n connection reset\n connection closed\n connection lost\n connection aborted\n connection timed out",
        "read timeout\n write timeout\n connect timeout\n idle timeout\n lock timeout\n query timeout",
        "disk full\n memory full\n queue full\n table full\n cache full",
        "temperature too high on sensor 4\n voltage too high on sensor 4\n temperature too low on sensor 4",
        "connect ECONNREFUSED 10.0.0.1:5432\n connect ETIMEDOUT 10.0.0.1:5432\n connect EHOSTUNREACH 10.0.0.1:5432\n connect EPIPE 10.0.0.1:80",
        "child 1 killed by SIGKILL\n child 1 killed by SIGSEGV\n child 1 killed by SIGTERM\n child 1 killed by SIGABRT",
        "panic: assignment to entry in nil map\n panic: runtime error: integer divide by zero",
        "user bob logged in\n user bob logged out\n user bob locked out\n user bob deleted",
        "redis: LOADING data in memory\n redis: READONLY replica\n redis: NOAUTH required\n redis: WRONGPASS password",
        "psycopg2.errors.UniqueViolation: bad row\n psycopg2.errors.DeadlockDetected: bad row\n psycopg2.errors.DataCorrupted: bad row",
        "java.io.IOException: x\n java.lang.IllegalStateException: x\n java.lang.NullPointerException: x",
    ] {
        apart(&lines(text));
    }
    for (shape, words) in [
        (
            "{}: 'a'",
            "KeyError ValueError TypeError IndexError AttributeError RuntimeError OSError NameError LookupError",
        ),
        (
            "{} of the job that ran on node 4 was not expected",
            "KeyError ValueError TypeError IndexError OSError NameError EOFError",
        ),
        (
            "job 5 of the nightly import was {} by the server",
            "started stopped paused resumed cancelled retried skipped blocked killed",
        ),
        ("order 5 of this customer rejected: reason={}", "fraud stock address payment age region limit weight"),
        (r#"{"level":"error","event":"{}","job":"x"}"#, "fraud stock address payment age region limit weight"),
        (r#"time="2025-01-02T03:04:05Z" level=error msg="{} gone" job=5"#, "disk lease token socket parent"),
        ("{} request for an item of the shop failed", "GET POST PUT PATCH HEAD OPTIONS DELETE"),
        (
            "request to the service of the shop ended: {}",
            "connection_refused read_timeout disk_full not_found user_locked quota_exceeded",
        ),
    ] {
        apart(&each(shape, words));
    }
}

#[test]
fn a_place_where_many_names_stand_is_a_variable() {
    let names = "alice bob carol dave erin frank grace heidi ivan judy mallory oscar";
    one(&each("user {} exceeded his quota", names));
    one(&each("Failed password for {} from 10.0.0.1 port 22 ssh2", "root uucp ftp git mysql backup"));
    one(&each("login; ruser= rhost=10.0.0.1 user={}", "root ftp git mysql backup"));
    one(&each("Failed to start {}.service: Unit not found.", "nginx postgresql redis worker mailer cron"));
    one(&each("task app.jobs.{}[5] raised something", "sync_users load_orders fetch_mail rotate_keys build_index"));
    one(&each("cannot start service {} now: service {} is not there", "web-a web-b cache queue-x search-y mailer"));
    one(&lines("Connection to db-1.internal:5432 lost\n Connection to 10.0.0.7:5432 lost"));
    one(&lines("clock synchronized to 10.0.0.1, stratum 3\n clock synchronized to LOCAL(0), stratum 10"));
    apart(&each("user {} exceeded his quota", "alice bob carol"));
}

#[test]
fn groups_that_share_a_template_are_not_one_for_that() {
    let names = "alice bob carol dave erin frank grace heidi";
    let mut titles = each("the quota of {} was exceeded by files of zoe", names);
    titles.extend(each("the quota of alice was exceeded by files of {}", names));
    assert_eq!(groups_of(&titles).iter().map(Vec::len).collect::<Vec<_>>(), [8, 8]);
}

#[test]
fn a_word_that_says_what_happened_is_taken_by_no_variable() {
    let mut titles = each("Got {} as the answer from the server", "alice bob carol dave erin frank grace");
    titles.push("Got zoe as the answer from the server".to_owned());
    titles.push("Got refused as the answer from the server".to_owned());
    assert_eq!(groups_of(&titles), vec![(0..=7).collect::<Vec<_>>(), vec![8]]);
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// One reading: ids of its titles as they are at its end, and whether each is new.
fn read(groups: &mut Groups, titles: &[String], second: i64) -> Vec<(String, bool)> {
    let handles: Vec<Handle> = titles.iter().map(|title| groups.add(title.as_bytes(), at(second)).unwrap()).collect();
    let told = handles.iter().map(|h| (groups.get(*h).unwrap().id.clone(), groups.is_new(*h))).collect();
    groups.settle();
    *groups = serde_json::from_str(&serde_json::to_string(groups).unwrap()).unwrap();
    told
}

#[test]
fn an_id_stays_what_it_was_told_and_what_became_one_goes_on_under_the_oldest() {
    let mut groups = Groups::default();
    let few = each("user {} exceeded his quota", "alice bob carol");
    let first = read(&mut groups, &few, 100);
    assert!(first.iter().all(|(_, new)| *new));
    let again: Vec<_> = first.iter().map(|(id, _)| (id.clone(), false)).collect();
    assert_eq!(read(&mut groups, &few, 200), again);
    let others = each("user {} exceeded his quota", "dave erin frank grace heidi ivan judy mallory oscar");
    let oldest = (first[0].0.clone(), false);
    assert_eq!(read(&mut groups, &others, 300), vec![oldest.clone(); others.len()]);
    assert_eq!(read(&mut groups, &each("user {} exceeded his quota", "bob zoe"), 400), vec![oldest.clone(); 2]);
    let [group] = groups.known.as_slice() else { panic!("{:#?}", groups.known) };
    assert_eq!((group.first, group.last), (at(100), at(400)));
    assert_eq!(group.template, "user <*> exceeded his quota");
    assert!(first[1..].iter().all(|(id, _)| group.former.contains(id)), "{:?}", group.former);
    assert!(read(&mut groups, &lines("something else"), 500)[0].1);
}

#[test]
fn the_oldest_id_is_kept_when_groups_with_variables_become_one() {
    let mut groups = Groups::default();
    let all =
        |file: &str| each(&format!("the quota of {{}} was exceeded by the {file}"), "ann bob carol dave erin frank");
    let mut titles = all("mailbox")[..1].to_vec();
    for file in ["calendar", "archive", "backups", "pictures", "mailbox", "notes"] {
        titles.extend(all(file));
    }
    read(&mut groups, &titles, 1);
    let oldest = id(&titles[0]);
    let [group] = groups.known.as_slice() else { panic!("{:#?}", groups.known) };
    assert_eq!((&group.id, group.template.as_str()), (&oldest, "the quota of <*> was exceeded by the <*>"));
}

#[test]
fn what_was_seen_in_one_reading_counts_in_the_next() {
    let mut groups = Groups::default();
    let names = "alice bob carol dave erin frank grace heidi ivan judy mallory oscar";
    for (n, title) in each("user {} exceeded his quota", names).into_iter().enumerate() {
        read(&mut groups, &[title], n as i64);
    }
    assert_eq!(groups.known.len(), 1);
}

#[test]
fn a_group_whose_template_held_a_secret_is_known_all_the_same() {
    let mut groups = Groups::default();
    let title = lines("login with hunter failed");
    let first = read(&mut groups, &title, 1);
    groups = serde_json::from_str(&serde_json::to_string(&groups).unwrap().replace("hunter", "***")).unwrap();
    assert_eq!(read(&mut groups, &title, 2), vec![(first[0].0.clone(), false)]);
}

#[test]
fn groups_are_bounded_and_the_newest_are_kept() {
    let mut groups = Groups::default();
    let word = |n: usize| (0..6).map(|digit| char::from(b'a' + (n >> (4 * digit)) as u8 % 16)).collect::<String>();
    let title = |n: usize| format!("{} {}", word(n * 7), word(n * 13));
    let found = (0..MAX_KNOWN + 500).filter(|n| groups.add(title(*n).as_bytes(), at(*n as i64)).is_some()).count();
    assert_eq!(found, MAX_KNOWN);
    groups.settle();
    assert_eq!(groups.known.len(), MAX_KEPT);
    assert_eq!(groups.known.iter().map(|g| g.first).min(), Some(at((MAX_KNOWN - MAX_KEPT) as i64)));
    assert!(groups.add(b"one more", at(9999)).is_some());
}

fn any_title() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "<*>",
        "<num>",
        "<",
        "=",
        "user=",
        "\"",
        "'",
        "[",
        "]",
        "(",
        ")",
        "error",
        "msg=",
        ": ",
        ", ",
        " ",
        "-",
        "1700000000",
        "Jan  2 03:04:05 ",
        "2025-01-02 03:04:05 ",
        "10.0.0.1",
        "é",
        "\u{1b}[",
        "app[1]: ",
        "a.b",
        "E",
        "x",
        "1131566461 ",
        "|",
        "\\\"",
        "/",
        "://",
        "@",
        "[5] ",
        "INFO ",
    ]);
    prop_oneof![8 => prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat()), 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_titles_are_grouped_and_equal_ones_are_one(titles in prop::collection::vec(any_title(), 1..30)) {
        let found = grouped(&titles);
        prop_assert_eq!(&found, &grouped(&titles));
        for (n, title) in titles.iter().enumerate() {
            let same = titles.iter().position(|t| t == title).unwrap();
            prop_assert_eq!(&found[n], &found[same]);
        }
    }

    #[test]
    fn tokens_are_the_template_in_order(title in any_title()) {
        let template = template(&title);
        let mut end = 0;
        for token in token::of(&template) {
            prop_assert!(token.at >= end);
            prop_assert_eq!(template.get(token.at..token.at + token.text.len()), Some(token.text));
            end = token.at + token.text.len();
        }
    }
}
