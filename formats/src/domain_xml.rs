//! libvirt's description of a domain, as far as its panic and its memory are concerned.
//!
//! ```text
//! <domain type='kvm' id='7'>
//!   <name/> <uuid/> <memory unit='KiB'/>
//!   <features><vmcoreinfo state='on'/></features>
//!   <on_crash>preserve</on_crash>
//!   <launchSecurity type='sev'/>
//!   <devices><panic model='isa'/></devices>
//!   <qemu:commandline><qemu:arg value='-qmp'/></qemu:commandline>
//! </domain>
//! ```

use roxmltree::{Document, Node, ParsingOptions};
use thiserror::Error;

use crate::text::{MAX_TEXT, bounded};

/// The longest description that is decoded, in bytes. libvirt's own are of some KiB.
pub const MAX_XML: usize = 1 << 20;
const MAX_NODES: u32 = 100_000;
const QEMU: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// What a domain's description says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainXml {
    /// `kvm`, `qemu` or another hypervisor.
    pub hypervisor: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its memory, in bytes, what was plugged in included.
    pub memory_bytes: Option<u64>,
    /// How many vCPUs it has.
    pub vcpus: Option<usize>,
    /// Its architecture, for example `x86_64`.
    pub architecture: Option<String>,
    /// Its machine type, for example `pc-i440fx-7.2`.
    pub machine: Option<String>,
    /// What libvirt does at a panic; `destroy` if it is absent.
    pub on_crash: Option<String>,
    /// The models of its panic devices: `isa`, `pvpanic`, `hyperv`, `default` if none is named.
    pub panic_models: Vec<String>,
    /// Whether it has a vmcoreinfo device.
    pub vmcoreinfo: bool,
    /// How its memory is encrypted: `sev`, `sev-snp`, `tdx`, `s390-pv`.
    pub launch_security: Option<String>,
    /// Arguments for QEMU that libvirt passes on.
    pub qemu_arguments: Vec<String>,
}

/// Why a description could not be decoded.
#[derive(Debug, Error)]
pub enum DomainXmlError {
    /// It is longer than any of libvirt's.
    #[error("the domain's XML has {length} bytes, and {MAX_XML} at most are decoded")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// It is no XML.
    #[error("the domain's XML cannot be decoded")]
    NotXml(#[from] roxmltree::Error),
    /// It describes something else.
    #[error("the XML is of a <{found}>, and a <domain> is needed")]
    NotADomain {
        /// The name of its root.
        found: String,
    },
}

impl DomainXml {
    /// Decodes a description.
    pub fn decode(xml: &str) -> Result<Self, DomainXmlError> {
        if xml.len() > MAX_XML {
            return Err(DomainXmlError::TooLong { length: xml.len() });
        }
        let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(xml, options)?;
        let domain = document.root_element();
        if domain.tag_name().name() != "domain" {
            let found = bounded(domain.tag_name().name(), MAX_TEXT);
            return Err(DomainXmlError::NotADomain { found });
        }
        let os_type = child(domain, "os").and_then(|os| child(os, "type"));
        Ok(Self {
            hypervisor: attribute(domain, "type"),
            name: child(domain, "name").and_then(text),
            uuid: child(domain, "uuid").and_then(text),
            memory_bytes: child(domain, "memory").and_then(memory),
            vcpus: child(domain, "vcpu").and_then(text).and_then(|count| count.parse().ok()),
            architecture: os_type.and_then(|os_type| attribute(os_type, "arch")),
            machine: os_type.and_then(|os_type| attribute(os_type, "machine")),
            on_crash: child(domain, "on_crash").and_then(text),
            panic_models: children(child(domain, "devices"), "panic")
                .map(|panic| attribute(panic, "model").unwrap_or_else(|| "default".to_owned()))
                .collect(),
            vmcoreinfo: child(domain, "features")
                .and_then(|features| child(features, "vmcoreinfo"))
                .is_some_and(|device| device.attribute("state") != Some("off")),
            launch_security: child(domain, "launchSecurity")
                .and_then(|security| attribute(security, "type")),
            qemu_arguments: qemu_arguments(domain),
        })
    }

    /// What libvirt does at a panic, its default included.
    pub fn action_at_crash(&self) -> &str {
        self.on_crash.as_deref().unwrap_or("destroy")
    }

    /// Whether libvirt leaves a panicked guest as it is, so that its memory can be read.
    pub fn preserves(&self) -> bool {
        self.action_at_crash() == "preserve"
    }
}

/// The children of a node that have a name, and are of libvirt.
fn children<'a, 'input: 'a>(
    of: Option<Node<'a, 'input>>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    let children = of.into_iter().flat_map(|node| node.children());
    children
        .filter(move |node| node.tag_name().namespace().is_none() && node.tag_name().name() == name)
}

fn child<'a, 'input: 'a>(of: Node<'a, 'input>, name: &'static str) -> Option<Node<'a, 'input>> {
    children(Some(of), name).next()
}

fn attribute(of: Node<'_, '_>, name: &str) -> Option<String> {
    of.attribute(name).map(|value| bounded(value, MAX_TEXT))
}

fn text(of: Node<'_, '_>) -> Option<String> {
    let text = of.text().map(str::trim).filter(|text| !text.is_empty())?;
    Some(bounded(text, MAX_TEXT))
}

/// A size with its unit, which is KiB if it is absent.
fn memory(of: Node<'_, '_>) -> Option<u64> {
    let number: u64 = of.text()?.trim().parse().ok()?;
    let unit = match of.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => 1,
        "KB" => 1000,
        "k" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn qemu_arguments(domain: Node<'_, '_>) -> Vec<String> {
    let of_qemu = |node: &Node<'_, '_>, name: &str| {
        node.tag_name().namespace() == Some(QEMU) && node.tag_name().name() == name
    };
    let lines = domain.children().filter(|node| of_qemu(node, "commandline"));
    let arguments = lines.flat_map(|line| line.children());
    arguments
        .filter(|node| of_qemu(node, "arg"))
        .filter_map(|node| attribute(node, "value"))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOMAIN: &str = "<domain type='qemu' id='1' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
        <name>g1</name> <uuid>c0ffee00-0000-4000-8000-000000000003</uuid>
        <metadata><a:x xmlns:a='urn:a'><on_crash>restart</on_crash></a:x></metadata>
        <memory unit='KiB'>524288</memory><vcpu placement='static'>2</vcpu>
        <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>
        <features><acpi/><vmcoreinfo state='on'/></features>
        <on_crash> preserve </on_crash>
        <devices><panic model='isa'><address type='isa' iobase='0x505'/></panic><panic/></devices>
        <qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:/run/g1.qmp'/></qemu:commandline>
        </domain>";

    #[test]
    fn a_domain_is_decoded() {
        let domain = DomainXml::decode(DOMAIN).unwrap();
        assert_eq!(domain.name.as_deref(), Some("g1"));
        assert_eq!(domain.uuid.as_deref(), Some("c0ffee00-0000-4000-8000-000000000003"));
        assert_eq!(domain.memory_bytes, Some(512 << 20));
        assert_eq!(domain.vcpus, Some(2));
        assert_eq!(domain.architecture.as_deref(), Some("x86_64"));
        assert_eq!(domain.machine.as_deref(), Some("pc-i440fx-7.2"));
        assert!(domain.preserves());
        assert_eq!(domain.panic_models, ["isa", "default"]);
        assert!(domain.vmcoreinfo && domain.launch_security.is_none());
        assert_eq!(domain.qemu_arguments, ["-qmp", "unix:/run/g1.qmp"]);
    }

    #[test]
    fn what_a_domain_lacks_is_absent() {
        let domain = DomainXml::decode("<domain/>").unwrap();
        assert_eq!(domain, DomainXml::default());
        assert_eq!((domain.action_at_crash(), domain.preserves()), ("destroy", false));
    }

    #[test]
    fn other_texts_are_errors() {
        for text in [
            "",
            "<network/>",
            "<domain>",
            "no XML",
            "\0",
            "<!DOCTYPE x [<!ENTITY a 'b'>]><domain/>",
        ] {
            assert!(DomainXml::decode(text).is_err(), "{text:?}");
        }
        let long = format!("<domain>{}</domain>", " ".repeat(MAX_XML));
        assert!(matches!(DomainXml::decode(&long), Err(DomainXmlError::TooLong { .. })));
    }

    #[test]
    fn elements_within_elements_do_not_exhaust_the_stack() {
        for count in [50_000, 300_000] {
            let _ = DomainXml::decode(&"<a>".repeat(count));
        }
        let closed = format!("<domain>{}{}</domain>", "<a>".repeat(50_000), "</a>".repeat(50_000));
        let _ = DomainXml::decode(&closed);
    }

    proptest! {
        #[test]
        fn no_text_panics(cut in 0..DOMAIN.len(), at in 0..DOMAIN.len(), byte in any::<char>()) {
            let mut text = DOMAIN.get(..cut).unwrap_or_default().to_owned();
            if text.is_char_boundary(at) && at <= text.len() {
                text.insert(at, byte);
            }
            let _ = DomainXml::decode(&text);
        }
    }
}
