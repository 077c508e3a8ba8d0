//! The shapes of the entries that are written, as `.debug_abbrev` has them.
//!
//! An entry has its shape's number, then the values of its attributes in this order. What has
//! no type (`void`) has a shape of its own: DWARF has no reference to nothing.

use gimli::constants::{
    DW_AT_bit_size, DW_AT_byte_size, DW_AT_const_value, DW_AT_count, DW_AT_data_bit_offset,
    DW_AT_data_member_location, DW_AT_declaration, DW_AT_encoding, DW_AT_external, DW_AT_high_pc,
    DW_AT_language, DW_AT_location, DW_AT_low_pc, DW_AT_name, DW_AT_producer, DW_AT_prototyped,
    DW_AT_ranges, DW_AT_type, DW_FORM_addr, DW_FORM_data1, DW_FORM_data2, DW_FORM_data8,
    DW_FORM_exprloc, DW_FORM_flag, DW_FORM_flag_present, DW_FORM_ref4, DW_FORM_sdata,
    DW_FORM_sec_offset, DW_FORM_string, DW_FORM_strp, DW_FORM_udata, DW_TAG_array_type,
    DW_TAG_base_type, DW_TAG_compile_unit, DW_TAG_const_type, DW_TAG_enumeration_type,
    DW_TAG_enumerator, DW_TAG_formal_parameter, DW_TAG_member, DW_TAG_pointer_type,
    DW_TAG_restrict_type, DW_TAG_structure_type, DW_TAG_subprogram, DW_TAG_subrange_type,
    DW_TAG_subroutine_type, DW_TAG_typedef, DW_TAG_union_type, DW_TAG_unspecified_parameters,
    DW_TAG_variable, DW_TAG_volatile_type, DwAt, DwForm, DwTag,
};

type Attributes = &'static [(DwAt, DwForm)];

/// Declares the shapes: name, tag, whether entries follow it as its children, attributes.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident $tag:ident $children:literal [$($at:ident $form:ident),*];)+) => {
        /// A shape of entries.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Shape {
            $($(#[$doc])* $name,)+
        }

        const SHAPES: &[(Shape, DwTag, bool, Attributes)] =
            &[$((Shape::$name, $tag, $children, &[$(($at, $form)),*]),)+];
    };
}

shapes! {
    Unit DW_TAG_compile_unit true [
        DW_AT_producer DW_FORM_string, DW_AT_language DW_FORM_data2, DW_AT_name DW_FORM_string,
        DW_AT_low_pc DW_FORM_addr, DW_AT_ranges DW_FORM_sec_offset
    ];
    UnitWithoutCode DW_TAG_compile_unit true [
        DW_AT_producer DW_FORM_string, DW_AT_language DW_FORM_data2, DW_AT_name DW_FORM_string
    ];
    Base DW_TAG_base_type false [
        DW_AT_name DW_FORM_strp, DW_AT_encoding DW_FORM_data1, DW_AT_byte_size DW_FORM_udata
    ];
    /// One whose name is not among the strings of BTF.
    OwnBase DW_TAG_base_type false [
        DW_AT_name DW_FORM_string, DW_AT_encoding DW_FORM_data1, DW_AT_byte_size DW_FORM_udata
    ];
    Pointer DW_TAG_pointer_type false [DW_AT_byte_size DW_FORM_data1, DW_AT_type DW_FORM_ref4];
    VoidPointer DW_TAG_pointer_type false [DW_AT_byte_size DW_FORM_data1];
    Array DW_TAG_array_type true [DW_AT_type DW_FORM_ref4];
    Count DW_TAG_subrange_type false [DW_AT_count DW_FORM_udata];
    NoCount DW_TAG_subrange_type false [];
    Struct DW_TAG_structure_type true [DW_AT_name DW_FORM_strp, DW_AT_byte_size DW_FORM_udata];
    NamelessStruct DW_TAG_structure_type true [DW_AT_byte_size DW_FORM_udata];
    DeclaredStruct DW_TAG_structure_type false [
        DW_AT_name DW_FORM_strp, DW_AT_declaration DW_FORM_flag_present
    ];
    Union DW_TAG_union_type true [DW_AT_name DW_FORM_strp, DW_AT_byte_size DW_FORM_udata];
    NamelessUnion DW_TAG_union_type true [DW_AT_byte_size DW_FORM_udata];
    DeclaredUnion DW_TAG_union_type false [
        DW_AT_name DW_FORM_strp, DW_AT_declaration DW_FORM_flag_present
    ];
    Member DW_TAG_member false [
        DW_AT_name DW_FORM_strp, DW_AT_type DW_FORM_ref4, DW_AT_data_member_location DW_FORM_udata
    ];
    NamelessMember DW_TAG_member false [
        DW_AT_type DW_FORM_ref4, DW_AT_data_member_location DW_FORM_udata
    ];
    /// One whose name is not among the strings of BTF.
    DeclaredMember DW_TAG_member false [
        DW_AT_name DW_FORM_string, DW_AT_type DW_FORM_ref4, DW_AT_data_member_location DW_FORM_udata
    ];
    BitField DW_TAG_member false [
        DW_AT_name DW_FORM_strp, DW_AT_type DW_FORM_ref4, DW_AT_bit_size DW_FORM_udata,
        DW_AT_data_bit_offset DW_FORM_udata
    ];
    Enum DW_TAG_enumeration_type true [
        DW_AT_name DW_FORM_strp, DW_AT_byte_size DW_FORM_udata, DW_AT_type DW_FORM_ref4
    ];
    NamelessEnum DW_TAG_enumeration_type true [
        DW_AT_byte_size DW_FORM_udata, DW_AT_type DW_FORM_ref4
    ];
    /// A value with a sign.
    Signed DW_TAG_enumerator false [DW_AT_name DW_FORM_strp, DW_AT_const_value DW_FORM_sdata];
    Unsigned DW_TAG_enumerator false [DW_AT_name DW_FORM_strp, DW_AT_const_value DW_FORM_udata];
    Typedef DW_TAG_typedef false [DW_AT_name DW_FORM_strp, DW_AT_type DW_FORM_ref4];
    VoidTypedef DW_TAG_typedef false [DW_AT_name DW_FORM_strp];
    Const DW_TAG_const_type false [DW_AT_type DW_FORM_ref4];
    VoidConst DW_TAG_const_type false [];
    Volatile DW_TAG_volatile_type false [DW_AT_type DW_FORM_ref4];
    VoidVolatile DW_TAG_volatile_type false [];
    Restrict DW_TAG_restrict_type false [DW_AT_type DW_FORM_ref4];
    VoidRestrict DW_TAG_restrict_type false [];
    Prototype DW_TAG_subroutine_type true [
        DW_AT_prototyped DW_FORM_flag_present, DW_AT_type DW_FORM_ref4
    ];
    VoidPrototype DW_TAG_subroutine_type true [DW_AT_prototyped DW_FORM_flag_present];
    NamelessParameter DW_TAG_formal_parameter false [DW_AT_type DW_FORM_ref4];
    Parameter DW_TAG_formal_parameter false [DW_AT_name DW_FORM_strp, DW_AT_type DW_FORM_ref4];
    /// `...`
    OtherParameters DW_TAG_unspecified_parameters false [];
    Function DW_TAG_subprogram true [
        DW_AT_name DW_FORM_strp, DW_AT_external DW_FORM_flag, DW_AT_prototyped DW_FORM_flag_present,
        DW_AT_low_pc DW_FORM_addr, DW_AT_high_pc DW_FORM_data8, DW_AT_type DW_FORM_ref4
    ];
    VoidFunction DW_TAG_subprogram true [
        DW_AT_name DW_FORM_strp, DW_AT_external DW_FORM_flag, DW_AT_prototyped DW_FORM_flag_present,
        DW_AT_low_pc DW_FORM_addr, DW_AT_high_pc DW_FORM_data8
    ];
    /// One without a prototype, whose name is not among the strings of BTF.
    UndeclaredFunction DW_TAG_subprogram false [
        DW_AT_name DW_FORM_string, DW_AT_external DW_FORM_flag, DW_AT_low_pc DW_FORM_addr,
        DW_AT_high_pc DW_FORM_data8, DW_AT_type DW_FORM_ref4
    ];
    Variable DW_TAG_variable false [
        DW_AT_name DW_FORM_string, DW_AT_external DW_FORM_flag, DW_AT_type DW_FORM_ref4,
        DW_AT_location DW_FORM_exprloc
    ];
    /// A variable that the compiler replaced by its value.
    Constant DW_TAG_variable false [
        DW_AT_name DW_FORM_string, DW_AT_external DW_FORM_flag, DW_AT_type DW_FORM_ref4,
        DW_AT_const_value DW_FORM_sdata
    ];
}

impl Shape {
    /// Its number, which fits a byte of LEB128: there are fewer than 128 shapes.
    pub(super) fn number(self) -> u8 {
        let position = SHAPES.iter().position(|(shape, ..)| *shape == self).unwrap_or_default();
        u8::try_from(position.saturating_add(1)).unwrap_or_default() & 0x7f
    }
}

/// The section `.debug_abbrev`.
pub(super) fn section() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (shape, tag, children, attributes) in SHAPES {
        bytes.push(shape.number());
        leb128(&mut bytes, tag.0.into());
        bytes.push(u8::from(*children));
        for (at, form) in *attributes {
            leb128(&mut bytes, at.0.into());
            leb128(&mut bytes, form.0.into());
        }
        bytes.extend([0, 0]);
    }
    bytes.push(0);
    bytes
}

/// Appends an unsigned number.
pub(super) fn leb128(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return bytes.push(low & 0x7f);
        }
        bytes.push(low | 0x80);
    }
}

/// Appends a signed number.
pub(super) fn signed_leb128(bytes: &mut Vec<u8>, mut value: i64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        let is_last = (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0);
        if is_last {
            return bytes.push(low & 0x7f);
        }
        bytes.push(low | 0x80);
    }
}
