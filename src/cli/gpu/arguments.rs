//! The command line of `perdura gpu export`: its own names of flags, and the DCGM exporter's flags and variables, so that
//! a DaemonSet of the exporter needs another image and no more.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::GpuTexts;

/// A flag, and the exporter's variable for it.
struct Flag {
    name: &'static str,
    short: Option<char>,
    /// The exporter's name, where it is another.
    alias: Option<&'static str>,
    variable: Option<&'static str>,
    is_switch: bool,
    help: &'static str,
}

const FLAGS: [Flag; 9] = [
    Flag {
        short: Some('a'),
        alias: Some("address"),
        variable: Some("DCGM_EXPORTER_LISTEN"),
        ..value("listen", "Address to listen on [default: :9400]")
    },
    Flag {
        short: Some('c'),
        alias: Some("collect-interval"),
        variable: Some("DCGM_EXPORTER_INTERVAL"),
        ..value("interval", "Time between readings; a number alone is in milliseconds [default: 15s]")
    },
    Flag {
        short: Some('f'),
        alias: Some("collectors"),
        variable: Some("DCGM_EXPORTER_COLLECTORS"),
        ..value("counters-file", "Counters file in the DCGM exporter's format [default: its own defaults]")
    },
    Flag {
        variable: None,
        ..value(
            "hostname-label",
            "Label that names the machine: Hostname, hostname or none [default: Hostname]",
        )
    },
    Flag {
        short: Some('n'),
        variable: Some("DCGM_EXPORTER_NO_HOSTNAME"),
        is_switch: true,
        ..value("no-hostname", "Leaves out the label that names the machine")
    },
    Flag {
        short: Some('o'),
        variable: Some("DCGM_EXPORTER_USE_OLD_NAMESPACE"),
        is_switch: true,
        ..value("use-old-namespace", "Labels have the names of exporters before 2.0, such as uuid")
    },
    Flag {
        short: Some('x'),
        variable: Some("DCGM_EXPORTER_XID_COUNT_WINDOW_SIZE"),
        ..value(
            "xid-count-window-size",
            "What DCGM_EXP_XID_ERRORS_COUNT goes over, in milliseconds [default: 300000]",
        )
    },
    Flag {
        variable: Some("DCGM_EXPORTER_CLOCK_EVENTS_COUNT_WINDOW_SIZE"),
        ..value(
            "clock-events-count-window-size",
            "What DCGM_EXP_CLOCK_EVENTS_COUNT goes over, in milliseconds [default: 300000]",
        )
    },
    value(
        "names",
        "Names of metrics, a list of: dcgm (the DCGM exporter's), dcgm-4.6, plain [default: dcgm]",
    ),
];

const fn value(name: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, alias: None, variable: None, is_switch: false, help }
}

/// The flags of a command that shows GPUs on a page.
pub(super) fn with_flags(command: Command) -> Command {
    command.args(FLAGS.iter().map(|flag| {
        let action = if flag.is_switch { ArgAction::SetTrue } else { ArgAction::Set };
        let mut argument = Arg::new(flag.name).long(flag.name).help(flag.help).action(action);
        if let Some(short) = flag.short {
            argument = argument.short(short);
        }
        if let Some(alias) = flag.alias {
            argument = argument.alias(alias);
        }
        argument
    }))
}

/// What the flags say, else the variables; empty where neither does.
pub(super) struct Said {
    texts: Vec<(&'static str, String)>,
}

impl Said {
    /// From a command line and the variables of the process.
    pub(super) fn new(matches: &ArgMatches, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |flag: &Flag| {
            let said = match flag.is_switch {
                true => matches.get_flag(flag.name).then(|| "true".to_owned()),
                false => matches.get_one::<String>(flag.name).cloned(),
            };
            let of_variable = || variable(flag.variable?)?.into_string().ok();
            (flag.name, said.or_else(of_variable).unwrap_or_default())
        };
        Self { texts: FLAGS.iter().map(text).collect() }
    }

    /// The text of a flag of the table.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.texts.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, text)| text)
    }

    fn is_on(&self, name: &str) -> bool {
        // As the exporter reads its variables.
        matches!(self.get(name), "1" | "t" | "T" | "true" | "TRUE" | "True")
    }

    /// What they say of readings and names.
    pub(super) fn texts(&self) -> GpuTexts<'_> {
        let is_nameless = self.is_on("no-hostname");
        GpuTexts {
            interval: self.get("interval"),
            counters_file: self.get("counters-file"),
            hostname_label: if is_nameless { "none" } else { self.get("hostname-label") },
            names: self.get("names"),
            xid_window: self.get("xid-count-window-size"),
            clock_events_window: self.get("clock-events-count-window-size"),
            is_old_namespace: self.is_on("use-old-namespace"),
            ..GpuTexts::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let command = with_flags(Command::new("export"));
        let matches = command.try_get_matches_from(std::iter::once(&"export").chain(arguments));
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| text.into());
        Said::new(&matches.expect("the flags are known"), find)
    }

    #[test]
    fn flags_of_the_exporter_are_known() {
        let of =
            said(&["-f", "/etc/a.csv", "-c", "30000", "--address", ":9401", "-n", "-o", "-x", "60000"], &[]);
        let texts = of.texts();
        assert_eq!((of.get("listen"), texts.counters_file, texts.interval), (":9401", "/etc/a.csv", "30000"));
        assert_eq!((texts.hostname_label, texts.xid_window), ("none", "60000"));
        assert!(texts.is_old_namespace);
    }

    #[test]
    fn variables_of_the_exporter_stand_behind_flags() {
        let variables = [
            ("DCGM_EXPORTER_INTERVAL", "30000"),
            ("DCGM_EXPORTER_LISTEN", ":9402"),
            ("DCGM_EXPORTER_NO_HOSTNAME", "false"),
            ("DCGM_EXPORTER_USE_OLD_NAMESPACE", "true"),
        ];
        let of = said(&["--interval=1s"], &variables);
        let texts = of.texts();
        assert_eq!((texts.interval, of.get("listen"), texts.hostname_label), ("1s", ":9402", ""));
        assert!(texts.is_old_namespace);
    }
}
