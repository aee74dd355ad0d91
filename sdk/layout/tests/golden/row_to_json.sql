-- Makes row_to_json.tsv: type, text, row_to_json of a row whose only column v has it. Run with psql in an empty database,
-- which loses its schema public:
--   psql -X -q -v ON_ERROR_STOP=1 -f row_to_json.sql > /dev/null
set timezone=utc; set intervalstyle=postgres; set bytea_output=hex; set extra_float_digits=1; set datestyle=iso; set client_min_messages=error;
drop schema public cascade; create schema public;
create type item as (a int, b text);
create type nest as (i item, l item[], t timestamptz, j json, n numeric, ok bool);
create type one as (x text);
create type empt as ();
create domain posint as int check (value > 0);
create table v(ty text, txt text, j text);
create or replace function add(ty text, vals text[]) returns void language plpgsql as $$
declare x text; t text; j text;
begin
  foreach x in array vals loop
    execute format('select format(''%%s'', %L::%s), row_to_json(r)::text from (select %L::%s as v) r', x, ty, x, ty) into t, j;
    insert into v values (ty, t, j);
  end loop;
end $$;
select add('bool', '{t,f}');
select add('int2', '{0,-32768,32767}'); select add('int4','{2147483647,-1}'); select add('int8','{9223372036854775807,-9223372036854775808}');
select add('float4','{0.1,-0,NaN,Infinity,-Infinity,1e38,1.17549435e-38}'); select add('float8','{0.1,0.30000000000000004,1e300,5e-324,-0,NaN,Infinity,-Infinity,123456789012345680000}');
select add('numeric','{0,1.50,-0.000001,NaN,Infinity,-Infinity,123456789012345678901234567890.123456789012345678901234567890}');
select add('oid','{0,4294967295}'); select add('text', array['', 'plain', E'a"b\\c', E'\b\f\n\r\t\x01\x1f\x7f', '<>&/''', 'grün 😀', repeat('x',40)||E'\n'||repeat('y',7)]);
select add('bpchar(4)', array['a']); select add('bytea', array['\x00ff41','']); select add('uuid', array['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']);
select add('json', array['{"a": [1, 2.0, "x\ny", null, true]}', '"s"', ' 1 ', 'null', '{"a":1,"a":2}', '"\ud800"', E'{ \t"a" :\n\r [ ] }']);
select add('jsonb', array['{"a": [1, 2.0, "x\ny", null, true]}', '12345678901234567890.5']);
select add('date', '{2024-02-29,infinity,-infinity,5874897-12-31,0044-03-15 BC,4713-01-01 BC}');
select add('time','{00:00,24:00,12:34:56.789012}'); select add('timetz','{12:34:56+05:30,00:00:00.5-08}');
select add('timestamp','{2024-02-29 12:34:56,2024-02-29 12:34:56.000001,2024-02-29 00:00,infinity,-infinity,0044-03-15 10:00:00 BC,294276-12-31 23:59:59.999999}');
select add('timestamptz','{2024-02-29 12:34:56+00,2024-02-29 12:34:56.1+02,infinity,-infinity,0044-03-15 10:00:00+00 BC,294276-12-31 23:59:59.999999+00}');
select add('interval','{1 year 2 mons -3 days 04:05:06.7,-1 sec}'); select add('money','{-1.5}');
select add('inet','{10.0.0.1/8,::1}'); select add('point','{"(1,2)"}'); select add('int4range','{"[1,5)",empty,"(,)"}'); select add('tstzrange', array['["2024-01-01 00:00+00",)']);
select add('tsvector', array['''a'':1 b:2']); select add('xml', array['<a>"x"</a>']); select add('bit(3)','{101}'); select add('posint','{5}');
select add('int4[]', array['{}','{1,2,NULL}','{{1,2},{3,4}}','[0:1]={5,6}','[-2:-1][3:4]={{1,2},{3,NULL}}','{{{1}}}','{{{{{{7}}}}}}']);
select add('text[]', array['{}','{a,"b c","d,e","q\"q","b\\s",NULL,"NULL","null","","{x}"," lead"}','{{a,b},{c,d}}',E'{"new\nline","tab\there"}','{"grün"}','[2:2]={x}']);
select add('bool[]','{"{t,f,NULL}"}'); select add('float8[]','{"{1.5,NaN,-Infinity}"}'); select add('numeric[]','{"{1.50,NaN}"}');
select add('json[]', array[$q${"{\"a\": \"b,c\"}",1,NULL,null,"[1,2]","\"NULL\""}$q$]);
select add('jsonb[]', array[$q${"{\"a\": \"b,c\"}",1}$q$]);
select add('timestamp[]', array['{"2024-02-29 12:34:56",NULL,infinity}']); select add('timestamptz[]', array['{"2024-02-29 12:34:56+00"}']);
select add('date[]','{"{2024-02-29,0044-03-15 BC}"}'); select add('box[]', array['{(1,2),(3,4);(5,6),(7,8)}']); select add('bytea[]', array[$q${"\\x00ff",""}$q$]);
select add('uuid[]', array['{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}']); select add('inet[]','{"{10.0.0.1,::1}"}');
select add('item', array['(1,x)','(,)','(1,"")','(-5,"a ""q"" \\ b, c)(")','(2," lead ")', E'(3,"l\nf")']);
select add('item[]', array['{}','{"(1,x)","(,)",NULL}',$q${"(1,\"a \"\"q\"\" \\\\ b, c\")"}$q$,'{{"(1,x)"},{"(2,y)"}}']);
select add('one', array['()','("")','(a)','("(")','(NULL)']); select add('empt', array['()']);
select add('nest', array['(,,,,,)', $q$("(1,""x """"y"""" \\\\ z"")","{""(1,a)"",""(,\\""b,c\\"")"",NULL}","2024-02-29 12:34:56+00","{""k"": [1, ""v""]}",NaN,t)$q$]);
select add('nest[]', array[(select array[row(row(1,'x "y" \ z'),array[row(1,'a'),row(null,'b,c')]::item[],'2024-02-29 12:34:56+00','{"k": [1, "v\\"]}',1.50,false)::nest, null]::nest[]::text)]);
select add('int2vector', array['1 2','']); select add('oidvector', array['3 4']);
select add('varchar[]', array['{a,b}']); select add('name','{pg}'); select add('"char"','{x}'); select add('regclass','{pg_class}'); select add('xid','{7}'); select add('pg_lsn','{0/16B3748}');
\copy (select ty, txt, j from v) to 'row_to_json.tsv'
