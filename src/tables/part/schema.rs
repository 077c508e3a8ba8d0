//! The schema of a part: the columns of [`Row`](crate::tables::Row), by the same names.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition};
use parquet::errors::ParquetError;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;

const MESSAGE: &str = "
message crash {
    required binary schema (STRING);
    required binary id (STRING);
    required binary entry (STRING);
    optional binary guest (STRING);
    optional binary guest_uuid (STRING);
    optional binary host (STRING);
    required int64 time (TIMESTAMP(MICROS,true));
    optional int64 time_nanoseconds;
    optional int64 panicked (TIMESTAMP(MICROS,true));
    required binary state (STRING);
    required group kernel {
        optional binary release (STRING);
        optional binary build_id (STRING);
        optional binary arch (STRING);
    }
    optional binary title (STRING);
    required group alt_titles (LIST) { repeated group list { required binary element (STRING); } }
    optional binary kind (STRING);
    optional binary type (STRING);
    optional binary signature (STRING);
    optional binary variant (STRING);
    optional boolean weak;
    optional binary function (STRING);
    optional binary module (STRING);
    optional binary bugcheck (STRING);
    optional binary taints (STRING);
    optional double held_seconds;
    optional int64 memory_bytes;
    optional int64 core_bytes;
    optional int64 pack_bytes;
    optional binary chunks_sha256 (STRING);
    optional binary tool (STRING);
    optional binary report_schema (STRING);
    optional binary report_tool (STRING);
    optional binary note (STRING);
    required group encrypted_to (LIST) { repeated group list { required binary element (STRING); } }
    optional group tasks {
        optional int64 processes;
        optional int64 threads;
        optional int64 kernel_threads;
        optional int64 blocked;
    }
    required group cpus (LIST) { repeated group list { required group element {
        required int64 vcpu;
        optional int64 cpu;
        optional binary state (STRING);
        optional int64 pid;
        optional binary comm (STRING);
        required group frames (LIST) { repeated group list { required group element {
            optional binary function (STRING);
            optional binary offset (STRING);
            optional binary module (STRING);
            optional binary trust (STRING);
        } } }
    } } }
    required group modules (LIST) { repeated group list { required group element {
        optional binary name (STRING);
        optional int64 size;
        optional binary taints (STRING);
        optional binary build_id (STRING);
    } } }
    required group mounts (LIST) { repeated group list { required group element {
        optional binary device (STRING);
        optional binary mount_point (STRING);
        optional binary type (STRING);
        optional int64 total_bytes;
        optional int64 used_bytes;
    } } }
}
";

/// The schema that is written.
pub(super) fn schema() -> Result<Arc<Type>, ParquetError> {
    parse_message_type(MESSAGE).map(Arc::new)
}

/// Whether a field may be absent.
pub(super) fn is_optional(node: &Type) -> bool {
    let info = node.get_basic_info();
    info.has_repetition() && info.repetition() == Repetition::OPTIONAL
}

/// The element of a list; `None` for what is no list.
pub(super) fn element(node: &Type) -> Option<&Type> {
    if node.is_primitive() || node.get_basic_info().logical_type_ref() != Some(&LogicalType::List) {
        return None;
    }
    match node.get_fields() {
        [repeated] if repeated.is_group() => match repeated.get_fields() {
            [element] => Some(element),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a number is a time.
pub(super) fn is_time(node: &Type) -> bool {
    matches!(node.get_basic_info().logical_type_ref(), Some(LogicalType::Timestamp { .. }))
}
