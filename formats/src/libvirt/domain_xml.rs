//! What a domain's XML says about its crashes and its memory.
//!
//! Needs: the XML that libvirt gives for a domain. Gives: what a capture, its forecast
//! and a check of the configuration use. All else is skipped.

use roxmltree::{Document, Node, ParsingOptions};
use thiserror::Error;

use crate::text::{MAX_NAME, MAX_TEXT, bounded};

/// How many nodes are parsed at most. The XML of a guest with many devices has some
/// thousands.
const MAX_NODES: u32 = 200_000;

/// A text that is no domain's XML.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the domain's XML cannot be read: {problem}")]
pub struct DomainXmlError {
    /// What is wrong with it.
    pub problem: String,
}

/// What a domain's XML says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainXml {
    /// The kind of virtualisation: `kvm` or `qemu`.
    pub kind: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its memory in bytes, what was plugged in included.
    pub memory_bytes: Option<u64>,
    /// How many vCPUs it has.
    pub vcpus: Option<u32>,
    /// Its architecture.
    pub architecture: Option<String>,
    /// Its machine type.
    pub machine: Option<String>,
    /// The QEMU program.
    pub emulator: Option<String>,
    /// What libvirt does at a panic: `preserve`, or what ends it. Absent: `destroy`.
    pub on_crash: Option<String>,
    /// The models of its panic devices, for example `isa` and `hyperv`.
    pub panic_devices: Vec<String>,
    /// Whether it has the device for VMCOREINFO.
    pub vmcoreinfo: bool,
    /// How its memory is encrypted, for example `sev`.
    pub launch_security: Option<String>,
}

impl DomainXml {
    /// Reads a domain's XML.
    pub fn parse(xml: &str) -> Result<Self, DomainXmlError> {
        // Without DTDs, which libvirt's XML never has: their entities could multiply it.
        let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(xml, options)
            .map_err(|error| DomainXmlError { problem: bounded(&error.to_string(), MAX_TEXT) })?;
        let domain = document.root_element();
        if !domain.has_tag_name("domain") {
            let problem = format!("it is a {:?}", bounded(domain.tag_name().name(), MAX_NAME));
            return Err(DomainXmlError { problem });
        }
        let devices = child(domain, "devices");
        let os_type = child(domain, "os").and_then(|os| child(os, "type"));
        let vmcoreinfo = child(domain, "features").and_then(|all| child(all, "vmcoreinfo"));
        Ok(Self {
            kind: attribute(domain, "type"),
            name: text(domain, "name"),
            memory_bytes: child(domain, "memory").and_then(memory),
            vcpus: text(domain, "vcpu").and_then(|count| count.parse().ok()),
            architecture: os_type.and_then(|node| attribute(node, "arch")),
            machine: os_type.and_then(|node| attribute(node, "machine")),
            emulator: devices.and_then(|devices| text(devices, "emulator")),
            on_crash: text(domain, "on_crash"),
            panic_devices: devices.map(panic_devices).unwrap_or_default(),
            // The element alone switches it on.
            vmcoreinfo: vmcoreinfo.is_some_and(|node| node.attribute("state") != Some("off")),
            launch_security: child(domain, "launchSecurity")
                .map(|node| attribute(node, "type").unwrap_or_default()),
        })
    }

    /// What libvirt does at a panic, its default included.
    pub fn on_crash(&self) -> &str {
        self.on_crash.as_deref().unwrap_or("destroy")
    }

    /// Whether a panicked guest stays, so that its memory can be read.
    pub fn preserves(&self) -> bool {
        self.on_crash() == "preserve"
    }
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn attribute(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.attribute(name).map(|value| bounded(value, MAX_NAME))
}

fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    Some(bounded(child(node, name)?.text()?.trim(), MAX_TEXT)).filter(|text| !text.is_empty())
}

fn panic_devices(devices: Node<'_, '_>) -> Vec<String> {
    let panics = devices.children().filter(|device| device.has_tag_name("panic"));
    panics.map(|device| attribute(device, "model").unwrap_or_default()).take(16).collect()
}

/// A size in its unit, which is KiB where none is given.
fn memory(node: Node<'_, '_>) -> Option<u64> {
    let value: u64 = node.text()?.trim().parse().ok()?;
    let unit: u64 = match node.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => 1,
        "KB" => 1000,
        "k" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    value.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<domain type='kvm' id='3'>
  <name>web-3</name>
  <memory unit='KiB'>262144</memory>
  <vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>
  <features><acpi/><vmcoreinfo state='on'/></features>
  <on_crash>preserve</on_crash>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <panic model='isa'><address type='isa' iobase='0x505'/></panic><panic model='hyperv'/></devices>
  <launchSecurity type='sev'/>
</domain>";

    #[test]
    fn what_matters_is_read() {
        let xml = DomainXml::parse(XML).unwrap();
        assert_eq!(xml.kind.as_deref(), Some("kvm"));
        assert_eq!(xml.name.as_deref(), Some("web-3"));
        assert_eq!((xml.memory_bytes, xml.vcpus), (Some(256 << 20), Some(2)));
        assert_eq!(xml.architecture.as_deref(), Some("x86_64"));
        assert_eq!(xml.machine.as_deref(), Some("pc-i440fx-7.2"));
        assert_eq!(xml.emulator.as_deref(), Some("/usr/bin/qemu-system-x86_64"));
        assert_eq!(xml.panic_devices, ["isa", "hyperv"]);
        assert!(xml.vmcoreinfo && xml.preserves());
        assert_eq!(xml.launch_security.as_deref(), Some("sev"));
    }

    #[test]
    fn what_is_absent_has_libvirts_default() {
        let xml = DomainXml::parse("<domain type='qemu'><memory>1024</memory></domain>").unwrap();
        assert_eq!(xml.on_crash(), "destroy");
        assert_eq!(xml.memory_bytes, Some(1 << 20));
        assert!(!xml.vmcoreinfo && !xml.preserves() && xml.panic_devices.is_empty());
        let off = "<domain><features><vmcoreinfo state='off'/></features></domain>";
        assert!(!DomainXml::parse(off).unwrap().vmcoreinfo);
    }

    #[test]
    fn another_text_is_refused_and_not_expanded() {
        let bomb = "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><domain>&b;</domain>";
        let deep = format!("<domain>{}", "<a>".repeat(10_000));
        let many = format!("<domain>{}</domain>", "<a/>".repeat(200_000));
        for text in ["", "not XML", "<network/>", "<domain>", bomb, &deep, &many] {
            assert!(DomainXml::parse(text).is_err(), "{text:.40}");
        }
        let (open, close) = ("<a>".repeat(150_000), "</a>".repeat(150_000));
        assert!(DomainXml::parse(&format!("<domain>{open}{close}</domain>")).is_ok());
    }
}
