{{- define "alpha-panda.redisConf" -}}
# Prices and the journal in one. The journal must not forget what it has acknowledged, and must refuse rather than evict.
dir /var/lib/redis-server
appendonly yes
appendfsync always
# A rewrite of the file must not suspend the promise of the line above.
no-appendfsync-on-rewrite no
save ""
maxmemory {{ .Values.development.redis.maxMemory }}
maxmemory-policy noeviction
# Without users: who may connect is the NetworkPolicy's to say.
protected-mode no
bind * -::*
port 6379
{{- end -}}
