# All that a guest sees, in an image of its own: Python, torch and its kin, the guest's and the contracts' sources.
# deploy/build-guest-image.sh prepares the build's folder and calls this; nothing is fetched while it builds.
#   BASE            an image of Debian 12 or newer with /usr/bin/python3
#   SOURCES         python_environment.sources_digest(): a launcher refuses an image of other sources than its own
#   wheels/         pip, and every package of requirements.txt with all that it requires
#   source/         sandbox_runner/guest and contracts
#   passwd, group   the users that sandboxes run as
ARG BASE
FROM ${BASE} AS packages
LABEL deltanas.stage=1
COPY wheels /wheels
COPY requirements.txt constraints.txt /
RUN set -e; \
    set -- /wheels/pip-*.whl; \
    python3 "$1/pip" install --no-index --find-links /wheels --no-cache-dir --quiet \
        --root-user-action ignore --requirement /requirements.txt --constraint /constraints.txt \
        --target /opt/deltanas/packages/0; \
    rm -rf /opt/deltanas/packages/0/bin /opt/deltanas/packages/0/*.pth; \
    chmod -R a+rX,go-w /opt/deltanas
COPY source /opt/deltanas/source
RUN python3 -m compileall -q /opt/deltanas/source && chmod -R a+rX,go-w /opt/deltanas/source

# The interpreter and its shared libraries. No shell, no package tools, nothing else that Debian brings.
FROM ${BASE} AS root
LABEL deltanas.stage=2
RUN set -e; \
    version=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
    mkdir -p /guest/usr/bin /guest/usr/lib /guest/usr/sbin /guest/etc; \
    mkdir -p /guest/data /guest/dev /guest/opt /guest/proc /guest/sys; \
    mkdir -m 1777 /guest/tmp; \
    cp -a /usr/bin/python3 "/usr/bin/$version" /guest/usr/bin/; \
    cp -a "/usr/lib/$version" /usr/lib/*-linux-gnu /guest/usr/lib/; \
    for each in /usr/lib64 /lib /lib64 /bin /sbin /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d; do \
        if [ -e "$each" ]; then cp -a "$each" "/guest$each"; fi; \
    done; \
    cp /usr/lib/os-release /guest/etc/os-release; \
    rm -rf "/guest/usr/lib/$version/dist-packages" "/guest/usr/lib/$version/ensurepip"; \
    find /guest -xdev -type f -perm /6000 -exec chmod a-s {} +; \
    chown -R 0:0 /guest

FROM scratch
COPY --from=root /guest /
COPY passwd group /etc/
COPY --from=packages /opt/deltanas /opt/deltanas
ARG SOURCES
LABEL deltanas.sources=${SOURCES}
USER 65534:65534
WORKDIR /tmp
ENV PATH=/usr/bin HOME=/tmp LANG=C.UTF-8
CMD ["/usr/bin/python3"]
