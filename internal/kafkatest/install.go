package kafkatest

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/daybook-log/daybook/internal/tooltest"
)

//go:embed pom.xml
var pom []byte

// clusterID is of every cluster: nodes refuse to meet those of another.
const clusterID = "ZGF5Ym9vay10ZXN0cy4wMQ"

// installation is what the cache folder holds.
type installation struct {
	libs      string // the jars
	formatted string // a data folder as the storage tool makes it
	classes   string // what a broker has loaded when it is ready: others begin with it in half the time
}

// install returns the installation, made once for every change of pom.xml.
func install() (installation, error) {
	if err := tooltest.Needs(map[string]string{"java": "default-jre-headless", "mvn": "maven"}); err != nil {
		return installation{}, err
	}
	home, err := tooltest.Keep("kafka", pom, makeInstallation, func(home string) error { return at(home).archive() })
	return at(home), err
}

// at returns the installation in a folder.
func at(home string) installation {
	return installation{
		libs: filepath.Join(home, "libs"), formatted: filepath.Join(home, "formatted"), classes: filepath.Join(home, "classes.jsa"),
	}
}

// makeInstallation fetches what a cluster takes, and formats a data folder.
func makeInstallation(temp string) error {
	if err := os.WriteFile(filepath.Join(temp, "pom.xml"), pom, 0o644); err != nil {
		return err
	}
	mvn := exec.Command("mvn", "-B", "-q", "dependency:copy-dependencies", "-DoutputDirectory="+filepath.Join(temp, "libs"))
	mvn.Dir = temp
	if out, err := mvn.CombinedOutput(); err != nil {
		return tooltest.MissingError{Err: fmt.Errorf("fetch Kafka with Maven: %w\n%s", err, out)}
	}
	settings := filepath.Join(temp, "server.properties")
	err := os.WriteFile(settings, []byte(format(map[string]string{
		"process.roles": "broker,controller", "node.id": "1", "controller.quorum.voters": "1@127.0.0.1:9093",
		"listeners": "CONTROLLER://127.0.0.1:9093,PLAINTEXT://127.0.0.1:9092", "controller.listener.names": "CONTROLLER",
		"log.dirs": filepath.Join(temp, "formatted"),
	})), 0o644)
	if err != nil {
		return err
	}
	if out, err := at(temp).java(context.Background(), nil, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", settings).CombinedOutput(); err != nil {
		return fmt.Errorf("format a data folder: %w\n%s", err, out)
	}
	return nil
}

// archive runs a broker for as long as it takes to be ready, and keeps what it has
// loaded. Without that, brokers only start more slowly.
func (i installation) archive() error {
	dir, err := os.MkdirTemp("", "kafkatest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := i.start(Options{JVM: []string{"-XX:ArchiveClassesAtExit=" + i.classes}}, dir)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.Nodes[0].cmd.Process.Signal(sigTerm); err == nil {
		<-c.Nodes[0].exited
	}
	return nil
}

// java returns a command that runs a class of the installation. The compiler's
// first level is what a short life pays for.
func (i installation) java(ctx context.Context, flags []string, class string, args ...string) *exec.Cmd {
	all := []string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(i.libs, "*")}
	if _, err := os.Stat(i.classes); err == nil {
		all = append(all, "-XX:SharedArchiveFile="+i.classes)
	}
	all = append(append(all, flags...), class)
	return exec.CommandContext(ctx, "java", append(all, args...)...)
}
