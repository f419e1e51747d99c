//! The examples for GPU nodes say what the program understands: their files are read, their command lines are given to it,
//! their configurations are loaded.

use std::path::PathBuf;
use std::process::Command;

use perdura::config::Config;
use serde_json::Value;

fn text(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/node").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All documents of a YAML file.
fn documents(name: &str) -> Vec<Value> {
    let text = text(name);
    let read = |document: &str| {
        serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{name}: {error}: {document}"))
    };
    text.split("\n---\n").map(read).collect()
}

fn document(name: &str, kind: &str) -> Value {
    let found = documents(name).into_iter().find(|document| document["kind"] == kind);
    found.unwrap_or_else(|| panic!("{name} has a {kind}"))
}

/// The container of a DaemonSet.
fn container(daemon_set: &Value) -> &Value {
    &daemon_set["spec"]["template"]["spec"]["containers"][0]
}

fn arguments(container: &Value) -> Vec<String> {
    let arguments = container["args"].as_array().expect("it has arguments");
    arguments.iter().map(|argument| argument.as_str().expect("they are texts").to_owned()).collect()
}

/// The command line of a unit, without the program.
fn command_line(unit: &str) -> Vec<String> {
    let joined = unit.replace("\\\n", " ");
    let line = joined.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it starts something");
    let mut words = line.split_whitespace().map(str::to_owned);
    assert_eq!(words.next().as_deref(), Some("/usr/local/bin/perdura"));
    words.collect()
}

/// Gives a command line to the program, with an address that cannot be listened on: then it has understood all of it.
fn understands(mut arguments: Vec<String>) {
    let is_address = |argument: &&mut String| {
        argument.starts_with("--web.listen-address=") || argument.starts_with("--listen=")
    };
    let address = arguments.iter_mut().find(is_address).expect("it listens");
    let flag = address.split_once('=').expect("it has a value").0.to_owned();
    *address = format!("{flag}=256.0.0.1:1");
    let output = Command::new(env!("CARGO_BIN_EXE_perdura")).args(&arguments).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(said.contains("cannot listen on 256.0.0.1:1"), "{said}");
    assert!(!said.contains("has no effect"), "{said}");
}

/// Loads an agent's configuration; what it says has to be acted on.
fn loads(configuration: &str) {
    let variables = |name: &str| (name == "NODE_NAME").then(|| "n1".to_owned());
    let config = Config::parse(configuration, &variables).expect("it is sound");
    config.check_for_agent().expect("an agent can run with it");
    assert_eq!(config.unserved(), Vec::<String>::new());
    assert_eq!(config.global.external_labels["node"], "n1");
    assert_eq!((config.jobs().count(), config.remote_write.len()), (2, 1));
}

#[test]
fn the_unit_and_its_configuration_are_understood() {
    let unit = text("perdura-agent.service");
    understands(command_line(&unit));
    loads(&text("agent.yml"));
    assert!(unit.contains("\nEnvironment=NODE_NAME=%H\n"), "the configuration asks for it");
}

#[test]
fn the_daemon_set_and_its_configuration_are_understood() {
    let daemon_set = document("daemonset.yaml", "DaemonSet");
    let container = container(&daemon_set);
    understands(arguments(container));
    let config_map = document("daemonset.yaml", "ConfigMap");
    loads(config_map["data"]["agent.yml"].as_str().expect("it has the file"));

    let pod = &daemon_set["spec"]["template"]["spec"];
    assert_eq!(
        (pod["hostPID"].as_bool(), pod["tolerations"][0]["key"].as_str()),
        (Some(true), Some("nvidia.com/gpu"))
    );
    assert_eq!(container["securityContext"]["privileged"], false);
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"], "spec.nodeName");
    mounts_what_it_has(pod);
}

#[test]
fn the_exporter_stands_in_for_the_dcgm_exporter() {
    let daemon_set = document("exporter.yaml", "DaemonSet");
    let container = container(&daemon_set);
    understands(arguments(container));
    let service = document("exporter.yaml", "Service");
    assert_eq!(
        (&service["metadata"]["name"], &service["spec"]["ports"][0]["port"]),
        (&"dcgm-exporter".into(), &9400.into())
    );
    assert_eq!(service["spec"]["selector"], daemon_set["spec"]["template"]["metadata"]["labels"]);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], container["ports"][0]["name"]);
    assert_eq!(container["ports"][0]["containerPort"], 9400);
    mounts_what_it_has(&daemon_set["spec"]["template"]["spec"]);
}

/// Every mount is of a volume, and the kubelet's socket is only read.
fn mounts_what_it_has(pod: &Value) {
    let volumes: Vec<&Value> =
        pod["volumes"].as_array().expect("volumes").iter().map(|volume| &volume["name"]).collect();
    let mounts = pod["containers"][0]["volumeMounts"].as_array().expect("mounts");
    assert!(mounts.iter().all(|mount| volumes.contains(&&mount["name"])), "{mounts:?} of {volumes:?}");
    let socket = mounts.iter().find(|mount| mount["name"] == "pod-resources").expect("it is mounted");
    assert_eq!(
        (&socket["mountPath"], &socket["readOnly"]),
        (&"/var/lib/kubelet/pod-resources".into(), &true.into())
    );
}
