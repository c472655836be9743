# Distributed under the terms of the MIT License

EAPI=8

inherit hive

DESCRIPTION="Takes its time: DEMO_SLOW_SECONDS seconds in DEMO_SLOW_STEPS steps"
S="${WORKDIR}"
SLOT="0"
KEYWORDS="amd64 arm64"

src_compile() {
	local i steps=${DEMO_SLOW_STEPS:-10} seconds=${DEMO_SLOW_SECONDS:-5}
	local pause=$(( seconds * 1000 / steps ))
	printf -v pause '%d.%03d' $(( pause / 1000 )) $(( pause % 1000 ))

	echo '#include <stdio.h>' > drip.c || die
	echo 'int main(void) {' >> drip.c || die
	for (( i = 1; i <= steps; i++ )); do
		echo "[${i}/${steps}] waiting for drop ${i}"
		sleep "${pause}" || die
		echo "puts(\"drop ${i}\");" >> drip.c || die
	done
	echo 'return 0; }' >> drip.c || die
	hive_program honeydrip drip.c
}

src_install() {
	dobin honeydrip
}
