# Sourced by the other scripts: brings what the project needs onto this machine, once, and says what it does.
# Safe to run again and safe with two at once. After `setup`, $repo/.venv holds Python with the project installed.

set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=/usr/bin/python3
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*" >&2; }
die() { printf 'cannot go on: %s\n' "$*" >&2; exit 1; }

# What must be there: a command or a file, and the Debian package that brings it.
needed() {
    cat <<'TABLE'
/usr/bin/python3                python3
/usr/lib/python3/dist-packages/pip  python3-pip
podman                          podman
runc                            runc
/usr/lib/podman/netavark        netavark
/usr/lib/podman/aardvark-dns    aardvark-dns
catatonit                       catatonit
newuidmap                       uidmap
slirp4netns                     slirp4netns
iptables                        iptables
nft                             nftables
ip                              iproute2
unshare                         util-linux
busybox                         busybox-static
mmdebstrap                      mmdebstrap
skopeo                          skopeo
openssl                         openssl
groff                           groff-base
zstd                            zstd
curl                            curl
jq                              jq
sqlite3                         sqlite3
mosquitto_pub                   mosquitto-clients
objdump                         binutils
systemd-socket-activate         systemd
gcc                             gcc
/usr/include/unistd.h           libc6-dev
/usr/include/zstd.h             libzstd-dev
node                            nodejs
npm                             npm
chromium                        chromium
nginx                           nginx
haproxy                         haproxy
caddy                           caddy
rsyslogd                        rsyslog
/usr/share/doc/rsyslog-gnutls   rsyslog-gnutls
pebble                          pebble
wrk                             wrk
/usr/share/fonts/truetype/wqy/wqy-microhei.ttc  fonts-wqy-microhei
/etc/ssl/certs/ca-certificates.crt  ca-certificates
TABLE
}

have() {
    case $1 in
        /*) [ -e "$1" ] ;;
        *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

install_packages() {
    local missing=() thing package
    while read -r thing package; do
        have "$thing" || missing+=("$package")
    done < <(needed)
    # ensurepip comes in its own package, whose name carries Python's version
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "these Debian packages are missing: ${missing[*]}. Run this as root, or install them first."
    command -v apt-get >/dev/null || die "this machine has no apt-get; install by hand: ${missing[*]}"
    say "installing Debian packages: ${missing[*]}"
    local log policy=/usr/sbin/policy-rc.d ours=
    log=$(mktemp)
    # Tests start the servers among them themselves: none becomes a service of this machine.
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && ours=$policy; }
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" >&2
        rm -f "$log" $ours
        die "apt-get could not install ${missing[*]} (its last words are above)"
    fi
    rm -f "$log" $ours
    for package in nginx haproxy caddy rsyslog; do
        if [[ " ${missing[*]} " = *" $package "* ]] && command -v systemctl >/dev/null; then
            systemctl disable --quiet "$package" 2>/dev/null || true
        fi
    done
}

make_venv() {
    local want have_stamp=""
    want=$( { "$python" --version; echo "$repo"; cat "$repo/pyproject.toml"; } | sha256sum | cut -d' ' -f1)
    [ -f "$repo/.venv/stamp" ] && have_stamp=$(cat "$repo/.venv/stamp")
    [ "$want" = "$have_stamp" ] && return 0
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        || die "$python is $("$python" --version), and 3.11 or newer is needed"
    say "installing Python packages into .venv (a minute, the first time)"
    [ -x "$repo/.venv/bin/python" ] || "$python" -m venv "$repo/.venv"
    local log
    log=$(mktemp)
    if ! "$repo/.venv/bin/python" -m pip install --quiet --editable "$repo[dev,build]" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        rm -f "$log"
        die "pip could not install the project's dependencies (its last words are above)"
    fi
    rm -f "$log"
    echo "$want" >"$repo/.venv/stamp"
}

setup() {
    [ "$(uname -s)" = Linux ] || die "minipaas needs Linux"
    [ "$(id -u)" = 0 ] || die "run this as root: it starts containers of its own on a private Podman, and cleans them up"
    exec 9>"${TMPDIR:-/tmp}/minipaas-setup.lock"
    flock 9
    install_packages
    make_venv
    "$python" "$repo/scripts/toolbox.py"
    flock -u 9
    exec 9>&-
    export PATH=$repo/.venv/bin:$PATH:/usr/sbin:/sbin
}
