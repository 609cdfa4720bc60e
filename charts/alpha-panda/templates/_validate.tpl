{{/* What values.schema.json can't say. Every message tells what to type. */}}
{{- define "alpha-panda.validate" -}}
{{- $name := default .Release.Name .Values.fullnameOverride -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "\n\nThe names of all objects begin with %q, and a Service's may only have lower-case letters, digits and '-', beginning with a letter.\nChoose another name of the release, or set fullnameOverride." $name) -}}
{{- end -}}
{{- $kafka := .Values.kafka.bootstrapServers -}}{{- $redis := .Values.redis.url -}}{{- $journal := .Values.journalRedis.url -}}
{{- if .Values.development.enabled -}}
{{- if or $kafka $redis $journal -}}
{{- fail "\n\ndevelopment.enabled starts a Kafka and a Redis of its own, so kafka.bootstrapServers, redis.url and journalRedis.url must be empty.\nTake away either the addresses or development.enabled." -}}
{{- end -}}
{{- else if not (or $kafka $redis) -}}
{{- fail "\n\nWhere are Kafka and Redis? Name your own:\n  --set kafka.bootstrapServers=HOST:9092 --set redis.url=redis://HOST:6379/0\nor let the chart start a pair for trying out, which is not for money:\n  --set development.enabled=true" -}}
{{- else if not $kafka -}}
{{- fail "\n\nredis.url is set, but not where Kafka is: add --set kafka.bootstrapServers=HOST:9092" -}}
{{- else if not $redis -}}
{{- fail "\n\nkafka.bootstrapServers is set, but not where Redis is: add --set redis.url=redis://HOST:6379/0" -}}
{{- end -}}
{{- range $name, $url := dict "redis.url" $redis "journalRedis.url" $journal -}}
{{- if contains "@" $url -}}
{{- fail (printf "\n\n%s has a user or a password in it, which everybody who may read the release could see.\nPut them into a Secret (keys %s-username, %s-password), name it in operator.credentialsSecret and roles.defaults.credentialsSecret,\nand set %s to User or Password." $name (ternary "redis" "journal-redis" (eq $name "redis.url")) (ternary "redis" "journal-redis" (eq $name "redis.url")) (replace ".url" ".auth" $name)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.env -}}
{{- if regexMatch "(PASSWORD|SECRET)$" $name -}}
{{- fail (printf "\n\nenv.%s is a secret, and values are kept readable in the release. Put it into a Secret and name that in roles.defaults.credentialsSecret." $name) -}}
{{- end -}}
{{- if has $name (list "ALPHAPANDA_TOPIC_PREFIX" "ALPHAPANDA_INSTALLATION" "ALPHAPANDA_HEALTH_PORT" "ALPHAPANDA_HEALTH_HOST") -}}
{{- fail (printf "\n\nenv.%s is the operator's to set: see topicPrefix and installation." $name) -}}
{{- end -}}
{{- end -}}
{{- $keys := include "alpha-panda.credentialKeys" . | fromYamlArray -}}
{{- if and $keys (not .Values.operator.credentialsSecret) -}}
{{- fail (printf "\n\nKafka or Redis asks for a user or a password, so the operator needs them too: name a Secret of namespace %s\nwith the keys %s in operator.credentialsSecret." .Release.Namespace (join ", " $keys)) -}}
{{- end -}}
{{- $roles := .Values.roles -}}
{{- range $role := list "market-feed" "feed-cacher" "strategy" "risk" "engine" "order-tracker" -}}
{{- if and $keys (not (dig $role "credentialsSecret" "" $roles)) (not (dig "defaults" "credentialsSecret" "" $roles)) -}}
{{- fail (printf "\n\nKafka or Redis asks for a user or a password: name the Secret with the keys %s in roles.%s.credentialsSecret,\nor one for all roles in roles.defaults.credentialsSecret. It is looked for in the namespace of each resource." (join ", " $keys) $role) -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.operator.serviceAccount.create) (not .Values.operator.serviceAccount.name) -}}
{{- fail "\n\noperator.serviceAccount.create is false: name the service account that is there in operator.serviceAccount.name." -}}
{{- end -}}
{{- if ge (mulf 2 .Values.control.renewSeconds) (float64 .Values.control.ttlSeconds) -}}
{{- fail (printf "\n\ncontrol.renewSeconds (%v) must be less than half of control.ttlSeconds (%v): otherwise one missed renewal halts trading." .Values.control.renewSeconds .Values.control.ttlSeconds) -}}
{{- end -}}
{{- end -}}
