// Runs a .pte model of this bundle with ExecuTorch.
// build.gradle.kts: implementation("org.pytorch:executorch-android:1.0.0")

import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** A model from a file: copy it out of the assets first, ExecuTorch maps it into memory. */
class AutomedExecuTorch(path: String) {
    private val module = Module.load(path)

    /** Outputs of one sample in the order of manifest.json; inputs are raw, in its order. */
    fun run(inputs: List<Pair<FloatArray, LongArray>>): List<FloatArray> {
        val given = inputs.map { (values, shape) -> EValue.from(Tensor.fromBlob(values, shape)) }
        return module.forward(*given.toTypedArray()).map { it.toTensor().dataAsFloatArray }
    }
}
