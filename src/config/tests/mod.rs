mod sections;

use proptest::prelude::*;

use super::*;
use crate::api::{ClientCertificate, TlsVersion};
use crate::store::elastic::{Address, Credentials};

fn load_text(text: &str, environment: &[(&str, &str)]) -> Result<NodeSettings, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.ini");
    std::fs::write(&file, text).unwrap();
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    load(Some(&file), environment.collect::<Vec<_>>())
}

fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    load_text(text, environment).unwrap_err().mistakes
}

#[test]
fn the_example_holds_every_key_with_its_default() {
    let example = include_str!("../../../config.example.ini");

    let settings = load_text(example, &[]).unwrap();

    assert_eq!(settings, NodeSettings::default());
    let mut section = "";
    let mut named = Vec::new();
    for line in example.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            named.push((section, key.trim(), value.trim()));
        }
    }
    let known: Vec<(&str, &str, &str)> = keys().map(|key| (key.section, key.name, key.default)).collect();
    assert_eq!(named, known);
    assert!(keys().all(|key| example.contains(key.meaning)), "each key is explained by its meaning");
}

#[test]
fn the_readme_lists_every_key_with_its_default() {
    let readme = include_str!("../../../README.md");
    for key in keys() {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let row = format!("| `[{}] {}` | {default} | {} |", key.section, key.name, key.meaning);
        assert!(readme.contains(&row), "README.md lacks {row}");
    }
}

#[test]
fn what_the_containers_set_are_keys() {
    let files = [include_str!("../../../docker-compose.yml"), include_str!("../../../Dockerfile")];
    let words = files.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    let set: Vec<(&str, &str)> = words.filter_map(|word| word.strip_prefix("SCHEDULE__")?.split_once("__")).collect();

    assert!(set.len() >= 5, "{set:?}");
    for (section, name) in set {
        let (section, name) = (section.to_lowercase(), name.to_lowercase());
        assert!(keys().any(|key| key.section == section && key.name == name), "[{section}] {name}");
    }
}

#[test]
fn the_defaults_are_those_of_the_rooms() {
    let settings = NodeSettings::default();

    assert_eq!(settings.api, crate::api::Settings::default());
    assert_eq!(settings.access, crate::access::Settings::default());
    assert_eq!(settings.engine, crate::engine::Settings::default());
    assert_eq!(settings.dispatch, crate::dispatch::Settings::default());
    assert_eq!(settings.journal, crate::journal::Settings::default());
    assert_eq!(settings.log, crate::observe::Settings::default());
}

#[test]
fn an_admin_key_is_long_enough_or_a_mistake_and_is_never_shown() {
    let read = |key: &str| load_text(&format!("[access]\nadmin_key = {key}\n"), &[]);
    let key = "0123456789abcdef0123456789abcdef";

    let settings = read(key).unwrap();

    assert!(settings.access.admin_key.unwrap().is(&crate::access::SecretHash::of(key.as_bytes())));
    assert!(!format!("{settings:?}").contains("0123456789"), "{settings:?}");
    for wrong in [&key[1..], "0123456789abcdef 0123456789abcdef"] {
        let mistakes = read(wrong).unwrap_err().mistakes;
        assert!(mistakes[0].contains("[access] admin_key is set, expected 32 to 1024"), "{mistakes:?}");
        assert!(!mistakes[0].contains("0123"), "{mistakes:?}");
    }
}

#[test]
fn the_header_of_the_remote_user_has_a_name_that_http_allows() {
    let read = |text: &str| load_text(&format!("[server]\nremote_user_header = {text}\n"), &[]);

    let header = read("X-Remote-User").unwrap().api.remote_user_header;
    assert_eq!(header, Some(http::HeaderName::from_static("x-remote-user")));
    let mistakes = read("a b").unwrap_err().mistakes;
    assert!(mistakes[0].ends_with("is `a b`, expected the name of a header such as X-Remote-User"), "{mistakes:?}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let settings = load_text("[server]\nport = 1\n", &[("SCHEDULE__SERVER__PORT", "2"), ("PATH", "x")]).unwrap();

    assert_eq!(settings.api.port, 2);
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_what_was_expected() {
    let text = "[server]\nport = 70000\nhost = everywhere\n[log]\nlevel = loud=loud=loud\nformat = xml\n[dispatch]\nin_flight_max = 5\n";

    let found = mistakes(text, &[("SCHEDULE__HISTORY__RETENTION_DAYS", "many")]);

    let ends = [
        "[dispatch] in_flight_per_host_max is `512`, expected at most in_flight_max, which is 5",
        "[server] host is `everywhere`, expected an IP address such as 127.0.0.1, 0.0.0.0 or ::1",
        "[server] port is `70000`, expected a whole number from 0 to 65535",
        "environment variable SCHEDULE__HISTORY__RETENTION_DAYS: [history] retention_days is `many`, expected a whole number from 1 to 36500",
        "[log] level is `loud=loud=loud`, expected off, error, warn, info, debug, trace, or module=level pairs",
        "[log] format is `xml`, expected one of text, json",
    ];
    assert_eq!(found.len(), ends.len(), "{found:#?}");
    for (mistake, end) in found.iter().zip(ends) {
        assert!(mistake.ends_with(end), "{mistake}\n{end}");
    }
}

#[test]
fn every_mistake_in_the_rules_of_targets_is_told_with_its_place() {
    let text = "[targets]\nallow_targets = loopback, 10.0.0.1/8, privat\nallow_only = true\n";

    let found = mistakes(text, &[("SCHEDULE__TARGETS__DENY_TARGETS", "ftp://x")]);

    let ends = [
        "[targets] allow_targets: rule 2 is `10.0.0.1/8`, expected `10.0.0.0/8`, whose further bits are zero, or the address alone",
        "[targets] allow_targets: rule 3 is `privat`, expected `private`; a host of that name is written `privat.`",
        "environment variable SCHEDULE__TARGETS__DENY_TARGETS: [targets] deny_targets: rule 1 is `ftp://x`, expected http:// or https:// before a host, an address or a CIDR",
    ];
    assert_eq!(found.len(), ends.len(), "{found:#?}");
    for (mistake, end) in found.iter().zip(ends) {
        assert!(mistake.ends_with(end), "{mistake}\n{end}");
    }
    let nothing = mistakes("[targets]\nallow_only = true\n", &[]);
    assert!(
        nothing[0].ends_with("is `true`, expected false, or rules in allow_targets: nothing could be reached"),
        "{nothing:?}"
    );
    let read =
        load_text("[targets]\nallow_targets = hooks.example:443, loopback\ndeny_targets = all:22\n", &[]).unwrap();
    let lens = (read.dispatch.targets.allow.len(), read.dispatch.targets.deny.len(), read.dispatch.targets.allow_only);
    assert_eq!(lens, (2, 1, false));
}

#[test]
fn unknown_names_are_mistakes_with_the_nearest_known_one() {
    let found =
        mistakes("[servr]\nport = 1\n[server]\nprot = 1\n", &[("SCHEDULE__LOG__LEVLE", "info"), ("SCHEDULE__X", "")]);

    assert!(found[0].ends_with("[server] unknown key `prot`, did you mean `port`?"), "{found:#?}");
    assert!(found[1].ends_with("unknown section [servr], did you mean `server`?"), "{found:#?}");
    assert!(found[2].ends_with("[log] unknown key `levle`, did you mean `level`?"), "{found:#?}");
    assert!(found[3].contains("expected SCHEDULE__SECTION__KEY"), "{found:#?}");
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = load(Some(&folder.path().join("none.ini")), []).unwrap_err();
    let directory = load(Some(folder.path()), []).unwrap_err();

    assert!(missing.mistakes[0].contains("none.ini: cannot be read"), "{missing}");
    assert!(directory.mistakes[0].contains("cannot be read"), "{directory}");
    let broken = mistakes("[server\nport=1", &[]);
    assert!(
        broken.len() == 1 && broken[0].ends_with("line 1: expected `[section]` and nothing behind it"),
        "{broken:?}"
    );
    assert!(mistakes("port = 1\n", &[])[0].contains("stands before the first [section]"));
    assert!(mistakes("[server]\nport = 1\nPort = 2\n", &[])[0].ends_with("line 3: [server] port is given twice"));
}

#[test]
fn secrets_are_never_shown() {
    let secret = "s3cret";
    let text = format!("[elasticsearch]\nusername = a\napi_key = {secret}\npassword = {secret}\n");

    let error = load_text(&text, &[]).unwrap_err().to_string();

    assert!(error.contains("[elasticsearch] api_key is set, expected nothing while username is set"), "{error}");
    assert!(!error.contains(secret), "{error}");
    for given in [format!("username = a\npassword = {secret}"), format!("api_key = {secret}")] {
        let settings = load_text(&format!("[elasticsearch]\nhosts = http://es\n{given}\n"), &[]).unwrap();
        assert!(!format!("{settings:?}").contains(secret));
    }
}

#[test]
fn a_section_that_is_given_twice_is_a_mistake_since_the_parser_would_forget_the_first() {
    let found = mistakes("[server]\nport = 1\n[log]\nlevel = warn\n[server]\nhost = ::1\n", &[]);

    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].ends_with("line 5: [server] is given twice, first in line 1"), "{found:#?}");
}

#[test]
fn a_key_is_given_twice_whatever_stands_behind_it() {
    assert!(mistakes("[server]\nport: 1\nport = 2\n", &[])[0].ends_with("line 3: [server] port is given twice"));
}

#[test]
fn a_line_without_a_key_is_a_mistake_of_its_own_and_hides_no_other() {
    let found = mistakes("[server]\n  api_key s3cret\nport = many\n  = 1\n[log] # x\nhost", &[]);

    let complaint = "expected `key = value`, `[section]` or `# comment`";
    let ends = [
        format!("line 2: {complaint}"),
        format!("line 4: {complaint}"),
        "line 5: expected `[section]` and nothing behind it".to_owned(),
        format!("line 6: {complaint}"),
        "[server] port is `many`, expected a whole number from 0 to 65535".to_owned(),
    ];
    assert_eq!(found.len(), ends.len(), "{found:#?}");
    assert!(found.iter().zip(&ends).all(|(mistake, end)| mistake.ends_with(end)), "{found:#?}");
}

#[test]
fn values_stand_for_themselves_but_for_a_pair_of_quotes_around_them() {
    let written = [
        (r"C:\temp\new", r"C:\temp\new"),
        (r"ends\", r"ends\"),
        ("\"a b\"", "a b"),
        ("'a b'", "a b"),
        ("\"open", "\"open"),
        ("it's", "it's"),
        ("a=b:c;d#e", "a=b:c;d#e"),
    ];
    for (text, meant) in written {
        let text = format!("[elasticsearch]\n  # note\npassword = {text}\nhosts = es\nusername = u\n[log]\n");
        assert_eq!(password(load_text(&text, &[]).unwrap()), meant);
    }
}

#[test]
fn a_byte_order_mark_and_other_line_ends_are_read() {
    assert_eq!(load_text("\u{feff}[server]\r\nport = 7\r\n", &[]).unwrap().api.port, 7);
}

#[test]
fn an_endless_file_is_told_as_too_long() {
    let error = load(Some(Path::new("/dev/zero")), []).unwrap_err();

    assert_eq!(error.mistakes, ["/dev/zero: is too long, expected at most 1048576 bytes"]);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_a_mistake() {
    use std::os::unix::ffi::OsStringExt;
    let environment = [("SCHEDULE__STORE__PATH".into(), OsString::from_vec(vec![0xff]))];
    let (folder, text) = (tempfile::tempdir().unwrap(), "");
    let file = folder.path().join("test.ini");
    std::fs::write(&file, text).unwrap();

    let error = load(Some(&file), environment).unwrap_err();

    assert_eq!(error.mistakes, ["environment variable SCHEDULE__STORE__PATH: is not UTF-8"]);
}

fn password(settings: NodeSettings) -> String {
    match settings.elasticsearch.unwrap().credentials {
        Credentials::Basic(_, password) => password,
        other => panic!("{other:?}"),
    }
}

#[test]
fn hosts_are_addresses_with_or_without_scheme_port_and_user() {
    let hosts = "es-1, https://es-2:9243/prefix,http://us%40er:p%2Cw@[::1]:9201,";

    let cluster = load_text(&format!("[elasticsearch]\nhosts = {hosts}\n"), &[]).unwrap().elasticsearch.unwrap();

    let urls = ["http://es-1:9200/", "https://es-2:9243/prefix", "http://[::1]:9201/"];
    assert_eq!(cluster.address, Address::Hosts(urls.map(|url| url.parse().unwrap()).to_vec()));
    assert_eq!(cluster.credentials, Credentials::Basic("us@er".to_owned(), "p,w".to_owned()));
    assert_eq!(load_text("", &[]).unwrap().elasticsearch, None);
}

#[test]
fn a_cluster_that_cannot_be_meant_is_a_mistake() {
    let cases = [
        ("hosts = ftp://es", "hosts is `ftp://es`, expected addresses such as http://127.0.0.1:9200"),
        ("hosts = http://es?q", "hosts is `http://es?q`, expected addresses"),
        ("hosts = es\ncloud_id = a:b", "cloud_id is `a:b`, expected nothing while hosts is set"),
        ("hosts = http://a:b@es\nusername = u", "hosts is `***@es`, expected addresses without user and password"),
        ("hosts = ,", "hosts is `,`, expected addresses such as http://127.0.0.1:9200"),
        ("hosts = es\napi_key = a b", "api_key is set, expected the encoded form"),
        ("default_index = Logs", "default_index is `Logs`, expected a name that Elasticsearch takes"),
        ("hosts = es\nwait_for_active_shards = some", "wait_for_active_shards is `some`, expected a number of copies"),
        ("hosts = es\nreplicas = 11", "replicas is `11`, expected a whole number from 0 to 10"),
    ];
    for (text, expected) in cases {
        let found = mistakes(&format!("[elasticsearch]\n{text}\n"), &[]);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn a_password_within_a_host_is_never_shown() {
    for hosts in ["http://user:s3,cr/et@es:9200", "http://a:s3,cret@es:9200, http://b:s3,cret@es:9201"] {
        let error = load_text(&format!("[elasticsearch]\nhosts = {hosts}\n"), &[]).unwrap_err().to_string();
        assert!(error.contains("[elasticsearch] hosts is `***@es:920") && !error.contains("s3"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_file_makes_it_panic_and_each_mistake_is_one_line(text in "(\\PC{0,20}|\\[[a-z]{0,8}\\]|[a-z_]{0,12} ?= ?\\PC{0,12}|\n){0,12}") {
        if let Err(error) = load_text(&text, &[]) {
            prop_assert!(error.mistakes.iter().all(|mistake| !mistake.contains(['\n', '\r'])), "{error:?}");
        }
    }
    #[test]
    fn no_slip_in_the_example_makes_it_panic_and_each_mistake_is_one_line(
        slips in prop::collection::vec((any::<prop::sample::Index>(), "(|\\PC|[=\n\r\\[\\]\"'\\\\#]){0,3}"), 1..6),
    ) {
        let mut letters: Vec<String> = include_str!("../../../config.example.ini").chars().map(String::from).collect();
        for (index, slip) in &slips {
            *index.get_mut(&mut letters) = slip.clone();
        }
        if let Err(error) = load_text(&letters.concat(), &[]) {
            prop_assert!(error.mistakes.iter().all(|mistake| !mistake.contains(['\n', '\r'])), "{error:?}");
            prop_assert!(!error.to_string().contains("is no INI file"), "the lines are checked before: {error}");
        }
    }

    #[test]
    fn every_value_is_read_as_it_is_written(value in "[\\PC\r\t]{0,20}") {
        let value = value.trim();
        prop_assume!(!value.starts_with(['"', '\'']));
        let text = format!("[elasticsearch]\npassword = {value}\nhosts = es\nusername = u\n[log]\nlevel = warn\n");
        let settings = load_text(&text, &[]).unwrap();
        prop_assert_eq!(&settings.log.filter, "warn");
        prop_assert_eq!(password(settings), value);
    }
}
