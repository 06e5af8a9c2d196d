//! What every command prints, byte for byte (`tests/golden`): at 80 and 120 columns, without and with colour.
//! `HEALER_GOLDEN=write` renews the files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::sync::{LazyLock, Mutex};
use support::{Look, Mask, Root, Shop, assert_fits, assert_golden, looks, run_looked, shown, without_escapes};

/// The host that all look at, one after the other: some of them change it.
static SHOP: LazyLock<Mutex<Shop>> = LazyLock::new(|| {
    let shop = Shop::with_a_past();
    shop.root.remove_at_exit();
    Mutex::new(shop)
});

/// What one look at the commands shows; a coloured one is the plain one, coloured.
struct Seen {
    text: String,
    plain: Vec<String>,
}

impl Seen {
    #[track_caller]
    fn take(&mut self, root: &Root, mask: &Mask, args: &[&str], look: Look) {
        let ran = run_looked(root, args, look);
        assert_fits(&ran, look.width);
        let section = shown(args, look, &ran, mask);
        let bare = without_escapes(&section.replace(", coloured", "").replace("\\e", "\u{1b}"));
        match look.color {
            false => self.plain.push(bare),
            true => assert_eq!(bare, self.plain.remove(0), "colour changes more than colours"),
        }
        self.text.push_str(&section);
    }
}

/// On the host with a past, which is afterwards as it was.
#[track_caller]
fn check(name: &str, commands: &[&[&str]]) {
    check_after(name, |_| {}, commands);
}

/// The same, once something more has happened to it.
#[track_caller]
fn check_after(name: &str, happens: impl Fn(&Shop), commands: &[&[&str]]) {
    let shop = SHOP.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mask = Mask::new(&shop.root);
    let mut seen = Seen { text: String::new(), plain: Vec::new() };
    for look in looks() {
        let saved = shop.root.save_state();
        shop.as_made();
        happens(&shop);
        commands.iter().for_each(|args| seen.take(&shop.root, &mask, args, look));
        shop.root.restore_state(&saved);
    }
    assert_golden(&format!("{name}.txt"), &seen.text);
}

/// On a host of its own for each look, which `make` has made.
#[track_caller]
fn check_fresh<S>(name: &str, make: impl Fn(&Shop) -> S, commands: &[&[&str]]) {
    let mut seen = Seen { text: String::new(), plain: Vec::new() };
    for look in looks() {
        let shop = Shop::quiet();
        let _goes_on = make(&shop);
        commands.iter().for_each(|args| seen.take(&shop.root, &Mask::new(&shop.root), args, look));
    }
    assert_golden(&format!("{name}.txt"), &seen.text);
}

#[test]
fn check_says_what_is_wrong() {
    check("check", &[&["check"], &["check", "-q"], &["check", "database"], &["check", "datbase"]]);
}

#[test]
fn diagnose_says_why() {
    check("diagnose", &[&["diagnose"], &["diagnose", "-v"]]);
}

#[test]
fn diagnose_says_of_a_rule_what_it_asks_for_and_what_is_there() {
    let rules = ["rate-limit-delay", "database-pool", "api-down", "queue-grows", "rate-limit"];
    check("diagnose-rule", &rules.map(|rule| ["diagnose", rule]).each_ref().map(|args| &args[..]));
    let fixed = |shop: &Shop| {
        shop.fix_that_helps();
        shop.age(90);
    };
    check_fresh("diagnose-rule-after-its-fix", fixed, &[&["diagnose", "database-pool"]]);
    check_fresh("diagnose-rule-acts", Shop::helped, &[&["diagnose", "database-pool"]]);
}

#[test]
fn heal_says_what_it_does() {
    check("heal-dry-run-held", &[&["heal", "-n"]]);
    check_fresh("heal-dry-run", Shop::helped, &[&["heal", "-n"]]);
    check_fresh("heal-healed", Shop::helped, &[&["heal"]]);
}

#[test]
fn heal_says_what_it_undoes() {
    check_fresh("heal-rolled-back", Shop::not_helped, &[&["heal"]]);
    check_fresh("heal-healthy", |_| {}, &[&["heal"], &["heal", "-n"]]);
}

#[test]
fn heal_says_what_is_left_to_a_human() {
    let suggest = |shop: &Shop| {
        shop.root.write("healer.toml", format!("mode = \"suggest\"\n{}", shop.root.read_text("healer.toml")));
        shop.helped();
    };
    check_fresh("heal-held", suggest, &[&["heal"]]);
    let held = |shop: &Shop| {
        suggest(shop);
        shop.pass(10);
        shop.age(90);
    };
    check_fresh("status-suggest", held, &[&["status"]]);
}

#[test]
fn backups_are_listed_shown_verified_and_pruned() {
    let keep = ["--keep-last", "1", "--keep-within", "1s"];
    let prune = |more: &[&'static str]| [&["backups", "prune"], more, &keep].concat();
    check("backups", &[&["backups"], &["backups", "verify"], &prune(&["-n"]), &prune(&[])]);
    let fixed = |shop: &Shop| {
        shop.fix_that_helps();
        shop.age(90);
    };
    check_fresh("backups-show", fixed, &[&["backups", "show", "latest"]]);
    let damage = |shop: &Shop| {
        let backups = shop.root.state_dir().join("backups");
        let one = std::fs::read_dir(&backups).unwrap().map(|e| e.unwrap().path()).min().unwrap();
        std::fs::write(one.join("files/0"), "something else").unwrap();
    };
    check_after("backups-damaged", damage, &[&["backups", "verify"]]);
    check_fresh("backups-none", |_| {}, &[&["backups"], &["backups", "verify"], &["backups", "prune"]]);
}

#[test]
fn rollback_says_what_it_puts_back() {
    check_fresh(
        "rollback",
        Shop::fix_that_helps,
        &[&["rollback", "-n", "latest"], &["rollback", "latest"], &["rollback", "latest"]],
    );
    let edited = |shop: &Shop| {
        shop.fix_that_helps();
        shop.root.append("worker/settings.toml", "pool_timeout = 30\n");
        shop.age(60);
    };
    check_fresh("rollback-changed-since", edited, &[&["rollback", "latest"]]);
}

#[test]
fn stats_count() {
    check("stats", &[&["stats"], &["stats", "--since", "1h"]]);
    check_fresh("stats-none", |_| {}, &[&["stats"]]);
    let owed = |shop: &Shop| {
        shop.fix_that_helps();
        shop.fix_figures();
        shop.age(2 * 3600 + 90);
    };
    check_fresh("stats-debt", owed, &[&["stats"]]);
}

#[test]
fn status_says_how_things_stand() {
    check("status", &[&["status"]]);
    check_fresh("status-none", |_| {}, &[&["status"]]);
    check_after("status-circuit", |shop| shop.failures(3, "rate-limit-delay"), &[&["status"], &["rules", "list"]]);
    let overdue = |shop: &Shop| {
        shop.fix_that_helps();
        shop.age(3 * 86_400 + 3600);
    };
    check_fresh("status-overdue", overdue, &[&["status"]]);
    let stopped = |shop: &Shop| {
        shop.root.write("STOP", "");
    };
    check_fresh("status-stopped", stopped, &[&["status"]]);
}

#[test]
fn history_says_what_happened() {
    check("history", &[&["history"]]);
    check_fresh("history-none", |_| {}, &[&["history"], &["history", "--since", "1h"]]);
}

#[test]
fn rules_are_listed_shown_tested_and_tried() {
    check("rules-list", &[&["rules", "list"]]);
    check("rules-show", &[&["rules", "show", "rate-limit-delay"], &["rules", "show", "queue-grows"]]);
    check("rules-test", &[&["rules", "test"]]);
    let wrong = |shop: &Shop| {
        let text = shop.root.read_text("healer.toml").replace("value = \"15\"", "value = \"16\"");
        shop.root.write("healer.toml", text);
    };
    check_fresh("rules-test-failed", wrong, &[&["rules", "test", "database-pool"]]);
    let tries: [&[&str]; 3] = [
        &["rules", "try", "rate-limit-delay", "try.log"],
        &["rules", "try", "rate-limit-delay", "try.log", "--missed"],
        &["rules", "try", "rate_limi", "try.log"],
    ];
    check("rules-try", &tries);
}

#[test]
fn the_configuration_is_checked_and_shown() {
    check("config-check", &[&["config", "check"], &["config", "check", "--offline"]]);
    check("config-show", &[&["config", "show"], &["config", "show", "--origin"]]);
}

#[test]
fn who_pauses_says_so() {
    let one = ["pause", "30m", "--reason", "the pool is being resized", "--rule", "database-pool"];
    let all = ["pause", "2h", "--reason", "deploying"];
    check("pause", &[&one, &all, &["status"], &["heal", "-n"], &["resume"], &["resume"]]);
    let paused = |shop: &Shop| {
        for args in [&one[..], &all, &["resume"]] {
            run_looked(&shop.root, args, Look { width: 80, color: false }).expect_code(0);
        }
        shop.age(90);
    };
    check_fresh("history-pauses", paused, &[&["history"]]);
}

#[test]
fn what_is_seen_or_released_is_said() {
    let shop = SHOP.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let state: serde_json::Value = serde_json::from_str(&shop.root.read_text("state/state.json")).unwrap();
    let incident = state["incidents"][0]["id"].as_str().unwrap().to_owned();
    let target = format!("{}#database.pool_size", shop.root.path("worker/settings.toml").display());
    drop(shop);
    check("ack", &[&["ack", &incident], &["ack", &incident, "--for", "2h"], &["ack", "inc_1"], &["status"]]);
    check("reset", &[&["reset", "settings"], &["reset", &target], &["reset", &target]]);
}

#[test]
fn notifiers_are_tried() {
    check_fresh("notify-none", |_| {}, &[&["notify", "test"]]);
    let two = |shop: &Shop| {
        let text = shop.root.read_text("healer.toml");
        let command = shop.root.path("bin/page");
        shop.root.write(
            "healer.toml",
            format!("{text}\n[alerts]\ncommand = [[\"/bin/true\"], [\"{}\"]]\n", command.display()),
        );
        shop.check("page", 1, "no such pager");
    };
    check_fresh("notify-test", two, &[&["notify", "test"]]);
}

#[test]
fn a_recorded_pass_is_decided_again() {
    check_fresh("replay", Shop::helped, &[&["heal", "-n", "--record", "pass"], &["replay", "pass"]]);
}

#[test]
fn requests_are_carried_out() {
    let left = |shop: &Shop| std::fs::create_dir(shop.root.path("requests")).unwrap();
    check_fresh("requests", left, &[&["requests", "requests"], &["requests", "elsewhere"]]);
}

#[test]
fn the_first_condition_that_is_not_met_is_the_reason_to_hold() {
    let shop = SHOP.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let check = |happens: &dyn Fn(), rule: &str, reason: &str| {
        let saved = shop.root.save_state();
        shop.as_made();
        happens();
        let data = support::healer(&shop.root, &["diagnose", rule, "--json"]).expect_code(0).data();
        shop.root.restore_state(&saved);
        let conditions = data["rule"]["conditions"].as_array().unwrap();
        let first = conditions.iter().find(|c| c["met"] == false).unwrap();
        assert_eq!(
            (&first["name"], &first["seen"]),
            (&reason.into(), &data["diagnoses"][0]["hold_reason"]),
            "{data:#}"
        );
        assert_eq!(data["diagnoses"][0]["hold"], reason, "{data:#}");
    };
    check(&|| {}, "rate-limit-delay", "at_bound");
    check(&|| {}, "api-down", "no_fix");
    let pause = ["pause", "2h", "--reason", "deploying"];
    check(&|| drop(support::healer(&shop.root, &pause).expect_code(0)), "api-down", "paused");
}

#[test]
fn a_text_is_as_wide_as_the_terminal_and_coloured_there_or_eighty_columns_and_plain() {
    let shop = SHOP.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let longest = |text: &str| {
        let lines = without_escapes(text).lines().map(|line| line.trim_end().chars().count()).collect::<Vec<_>>();
        lines.into_iter().max().unwrap()
    };
    let on_terminal =
        |columns: u16| support::Terminal::of_width(&shop.root, &["diagnose", "rate-limit-delay"], columns).end().1;
    for columns in [60, 132] {
        let text = on_terminal(columns);
        assert!(longest(&text) <= usize::from(columns) && longest(&text) > usize::from(columns) * 3 / 4, "{text}");
        assert!(text.contains("\u{1b}[1m"), "{text}");
    }
    let mut piped = shop.root.command(&["diagnose", "rate-limit-delay"]);
    piped.env_remove("COLUMNS").env_remove("NO_COLOR");
    let text = support::spawn_command(piped).wait().expect_code(0).stdout;
    assert!(longest(&text) <= 80 && longest(&text) > 70 && !text.contains('\u{1b}'), "{text}");
}
