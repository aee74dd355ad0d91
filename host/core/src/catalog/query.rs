//! The question that an ordinary session asks about types, and its answer as values.

/// Finds types and all that they are made of. One parameter, `oid[]`; the rows' columns are those of
/// [`TypeRow`], in its order. Runs on every supported server; needs no right beyond CONNECT.
///
/// The types of array elements, composite fields and domains' bases are followed to their ends, so one
/// question is enough. An array is what `array_out` prints: that tells apart the types which only have
/// elements.
pub const TYPES_SQL: &str = "\
WITH RECURSIVE wanted(oid) AS (
    SELECT pg_catalog.unnest($1::pg_catalog.oid[])
  UNION
    SELECT part.oid
    FROM wanted
    JOIN pg_catalog.pg_type t ON t.oid = wanted.oid
    CROSS JOIN LATERAL (
        SELECT t.typelem WHERE t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc
      UNION ALL
        SELECT t.typbasetype WHERE t.typtype = 'd'
      UNION ALL
        SELECT a.atttypid FROM pg_catalog.pg_attribute a
        WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS part(oid)
    WHERE part.oid <> 0
)
SELECT t.oid AS oid,
       t.typname::pg_catalog.text AS name,
       CASE WHEN t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc
            THEN t.typelem ELSE 0::pg_catalog.oid END AS elem,
       COALESCE(e.typdelim, t.typdelim)::pg_catalog.text AS delim,
       CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE 0::pg_catalog.oid END AS base,
       t.typtype = 'c' AS composite,
       t.typname = 'hstore' AND EXISTS (
           SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
           WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e'
           AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND x.extname = 'hstore') AS hstore,
       COALESCE(f.names, '{}') AS field_names,
       COALESCE(f.oids, '{}') AS field_oids
FROM wanted
JOIN pg_catalog.pg_type t ON t.oid = wanted.oid
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
LEFT JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attnum) AS names,
           pg_catalog.array_agg(a.atttypid ORDER BY a.attnum) AS oids
    FROM pg_catalog.pg_attribute a
    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
) f ON true";

/// One row of the answer to [`TYPES_SQL`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeRow {
    /// The type's oid.
    pub oid: u32,
    /// Its name, without the schema.
    pub name: String,
    /// Of an array, the element type's oid; else 0.
    pub elem: u32,
    /// What separates an array's elements; one byte.
    pub delim: String,
    /// Of a domain, its base type's oid; else 0.
    pub base: u32,
    /// Whether it is a composite type.
    pub composite: bool,
    /// Whether it is the `hstore` of the extension of that name.
    pub hstore: bool,
    /// Of a composite, its fields' names, in order.
    pub field_names: Vec<String>,
    /// Of a composite, its fields' types, in the same order.
    pub field_oids: Vec<u32>,
}
