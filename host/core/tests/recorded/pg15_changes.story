INSERT pgcdc:plain {"id":1,"n":1.5,"name":"one"}
INSERT pgcdc:plain {"id":2,"n":"NaN","name":null}
UPDATE pgcdc:plain {"id":1,"n":1.5,"name":"ONE"}
UPDATE pgcdc:plain {"id":3,"n":1.5,"name":"ONE"}
DELETE pgcdc:plain {"id":2,"n":null,"name":null}
INSERT pgcdc:plain {"id":10,"n":1,"name":"ten"}
INSERT pgcdc:plain {"id":11,"n":null,"name":"elf"}
INSERT pgcdc:plain {"id":12,"n":2,"name":"zwölf"}
MESSAGE pgcdc:_message {"content":"first","prefix":"in","transactional":true}
INSERT pgcdc:plain {"id":20,"n":0,"name":"x"}
MESSAGE pgcdc:_message {"content":"AP8=","encoding":"base64","prefix":"in","transac
INSERT pgcdc:plain {"id":22,"n":0,"name":"kept"}
MESSAGE pgcdc:_message {"content":"alone","prefix":"out","transactional":false}
INSERT pgcdc:plain {"id":30,"n":0,"name":"after message"}
INSERT pgcdc:fullrow {"id":1,"note":"a"}
UPDATE pgcdc:fullrow {"id":1,"note":"b"}
DELETE pgcdc:fullrow {"id":1,"note":"b"}
INSERT pgcdc:big {"big":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
UPDATE pgcdc:big {"id":1,"small":2}
UPDATE pgcdc:big {"big":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
INSERT pgcdc:"Größe.x".ta ble {"id":1}
TRUNCATE pgcdc:plain null
TRUNCATE pgcdc:fullrow null
TRUNCATE pgcdc:big null
INSERT pgcdc:plain {"added":"2026-01-05T09:30:00.25+00:00","id":1,"n":1,"name":
INSERT pgcdc:plain {"added":null,"id":2,"n":2}
