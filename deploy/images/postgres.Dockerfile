# PostgreSQL out of Debian; reads the same variables as the image that PostgreSQL's community keeps.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null \
    && sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf \
    && apt-get install -y -qq --no-install-recommends postgresql >/dev/null \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ \
    && chmod 3777 /run/postgresql \
    && install -d -m 0700 -o postgres -g postgres /var/lib/postgresql/data
COPY postgres-entry /usr/local/bin/
USER postgres
ENV PGDATA=/var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/local/bin/postgres-entry"]
