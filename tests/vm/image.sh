#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
#
# What a test's guest boots from.
#
#   image.sh has DIR                    0: all of `kernel` is there
#   image.sh fetch PACKAGE DIR          downloads the kernel package that this one depends on, then as below
#   image.sh kernel DEB DIR             the package's kernel and the modules of tether.conf: DIR/vmlinuz, DIR/modules/
#   image.sh initramfs DIR BIN FILES OUT [PROGRAM...]
#                                       DIR: as above; BIN: folder with the static programs tether, workload, relay;
#                                       FILES: a folder whose files come on top (configuration, token); PROGRAMs come
#                                       with the libraries that they need
set -eu

# In the order in which they can be loaded.
modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net
    vsock vmw_vsock_virtio_transport_common vsock_loopback virtio_console"

kernel() {
    deb=$1 dir=$2
    rm -rf "$dir.new"
    mkdir -p "$dir.new/deb" "$dir.new/modules"
    dpkg-deb -x "$deb" "$dir.new/deb"
    cp "$dir.new"/deb/boot/vmlinuz-* "$dir.new/vmlinuz"
    for name in $modules; do
        found=$(find "$dir.new/deb/lib/modules" -name "$name.ko*" | head -n 1)
        case $found in
        *.ko) cp "$found" "$dir.new/modules/" ;;
        *.ko.xz) xz -dc "$found" >"$dir.new/modules/$name.ko" ;;
        *)
            echo "image.sh: no module $name in $deb" >&2
            exit 1
            ;;
        esac
        echo "/lib/modules/$name.ko" >>"$dir.new/modules/order"
    done
    rm -rf "$dir.new/deb" "$dir"
    mv "$dir.new" "$dir"
}

has() {
    for name in vmlinuz $(printf 'modules/%s.ko ' $modules); do
        [ -e "$1/$name" ] || exit 1
    done
}

fetch() {
    name=$(LC_ALL=C apt-cache depends "$1" | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
    if [ -z "$name" ]; then
        echo "image.sh: apt-cache knows no $1; is this Debian on amd64?" >&2
        exit 1
    fi
    download=$2.download
    rm -rf "$download"
    mkdir -p "$download"
    (cd "$download" && apt-get -q -o Acquire::Retries=3 download "$name")
    kernel "$(ls "$download"/*.deb)" "$2"
    rm -rf "$download"
}

initramfs() {
    dir=$1 bin=$2 files=$3 out=$4
    shift 4
    root=$out.root
    rm -rf "$root"
    for sub in bin etc/retether lib/modules proc sys dev tmp run root; do
        mkdir -p "$root/$sub"
    done
    cp "$dir"/modules/*.ko "$root/lib/modules/"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in sh cat echo sleep stty top vi mount ps kill dd mkdir rm grep tail; do
        ln -s busybox "$root/bin/$applet"
    done
    cp "$bin/tether" "$bin/workload" "$bin/relay" "$root/bin/"
    ln -s bin/tether "$root/init"
    for program in "$@"; do
        cp "$program" "$root/bin/"
        ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
            mkdir -p "$root$(dirname "$library")"
            cp -n "$library" "$root$library"
        done
    done
    cp -R --remove-destination "$files/." "$root/"
    (cd "$root" && find . | cpio -o -H newc --quiet) >"$out"
    rm -rf "$root"
}

verb=$1
shift
case $verb in
has | fetch | kernel | initramfs) "$verb" "$@" ;;
*)
    echo "usage: image.sh has|fetch|kernel|initramfs ..." >&2
    exit 2
    ;;
esac
