#!/bin/sh
# Makes families of face swaps from two clips, the same again from the same seeds:
#
#     sh examples/swap_families.sh A.mp4 B.mp4 OUT [train|dev|test]
#
# OUT/autoencoder, OUT/gan: swaps by trained networks, both ways, put back in three ways; OUT/warp: by landmarks, both ways,
# with one pose and with the nearest. Each folder has one manifest.csv (label 1) with the split that was asked for: give one
# person to one split only. About an hour on two cores for two clips of ten seconds; run again, it goes on where it stopped.
set -eu
if [ $# -lt 3 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
a=$1 b=$2 out=$3 split=${4:-train}
swap="forensics generate faceswap"

make() { # a clip that is there is not made again
    for made in "$@"; do :; done # the last argument is the clip
    [ -e "$made" ] || $swap "$@"
}

$swap extract "$a" --output "$out/faces/a"
$swap extract "$b" --output "$out/faces/b"
for variant in autoencoder gan; do
    run=$out/runs/$variant
    $swap train --source "$out/faces/a" --target "$out/faces/b" --preset cpu-small --variant $variant --seed 0 --output "$run"
    for how in "alpha lab" "poisson lab" "alpha histogram"; do
        set -- $how
        make convert "$b" --model "$run" --paste "$1" --colour "$2" --split "$split" --output "$out/$variant/a-in-b-$1-$2.mp4"
        make convert "$a" --model "$run" --reverse --paste "$1" --colour "$2" --split "$split" \
            --output "$out/$variant/b-in-a-$1-$2.mp4"
    done
done
for pose in best nearest; do
    make warp "$a" "$b" --pose $pose --split "$split" --output "$out/warp/a-in-b-$pose.mp4"
    make warp "$b" "$a" --pose $pose --split "$split" --output "$out/warp/b-in-a-$pose.mp4"
done
